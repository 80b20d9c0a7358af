import type { Pod } from '../../lib/api/objects.ts';

export interface Changing<T> {
  list(): readonly T[];
  onChange(listener: (change: { readonly key: string; readonly after: T | undefined }) => void): () => void;
}

/**
 * Milliseconds since `from` until so many pods pass `check`, counted from changes, not by looking again and again. Rejects when that
 * takes longer than five minutes and 10 ms a pod.
 */
export function counted(
  view: Changing<Pod>,
  count: number,
  check: (pod: Pod) => boolean,
  from: number,
): Promise<number> {
  const limitMs = 300_000 + 10 * count;
  const passed = new Set(
    view
      .list()
      .filter(check)
      .map((pod) => pod.metadata.name),
  );
  if (passed.size >= count) return Promise.resolve(performance.now() - from);
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      reject(new Error(`${passed.size} of ${count} after ${Math.round(limitMs / 1000)} s`));
    }, limitMs);
    const stop = view.onChange(({ after }) => {
      if (after !== undefined && check(after)) passed.add(after.metadata.name);
      if (passed.size < count) return;
      clearTimeout(late);
      stop();
      resolve(performance.now() - from);
    });
  });
}

export function untilView<T>(view: Changing<T>, check: () => boolean, what: string, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      reject(new Error(`not after ${timeoutMs / 1000} s: ${what}`));
    }, timeoutMs);
    let looked = 0;
    const look = (): void => {
      const now = performance.now();
      if (now - looked < 100) return;
      looked = now;
      if (!check()) return;
      clearTimeout(late);
      clearInterval(again);
      stop();
      resolve();
    };
    const stop = view.onChange(look);
    const again = setInterval(look, 200);
    look();
  });
}
