import { Limit } from './limit.ts';
import type { ContainerRuntime, ImageInfo } from './runtime/runtime.ts';

/** Pulls images, a few at a time, each once however many pods wait for it. */
export interface ImagePuller {
  pull(image: string, signal: AbortSignal): Promise<ImageInfo>;
}

export function newImagePuller(runtime: Pick<ContainerRuntime, 'pull'>, maxParallel: number): ImagePuller {
  const limit = new Limit(maxParallel);
  const running = new Map<
    string,
    { readonly work: Promise<ImageInfo>; readonly stop: AbortController; waiters: number }
  >();
  return {
    async pull(image, signal) {
      let pull = running.get(image);
      if (pull === undefined) {
        const stop = new AbortController();
        const work = limit.run(() => runtime.pull(image, stop.signal)).finally(() => running.delete(image));
        pull = { work, stop, waiters: 0 };
        running.set(image, pull);
      }
      const joined = pull;
      joined.waiters++;
      // The pull ends early only when nobody waits for it any more.
      const leave = (): void => {
        if (--joined.waiters === 0) joined.stop.abort(new Error(`nobody needs ${image} any more`));
      };
      signal.addEventListener('abort', leave, { once: true });
      try {
        return await joined.work;
      } finally {
        signal.removeEventListener('abort', leave);
        if (!signal.aborted) joined.waiters--;
      }
    },
  };
}
