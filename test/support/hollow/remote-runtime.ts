import type { ChildProcess } from 'node:child_process';
import { RuntimeError, type ContainerRuntime, type RuntimeEvent } from '../../../node-agent/runtime/runtime.ts';

/** What an agent asks of an engine for pods that nobody looks into: no logs, no commands, no files. */
const verbs = [
  ...['list', 'inspect', 'create', 'start', 'rename', 'stop', 'kill', 'remove', 'prepare', 'imagePresent', 'pull'],
  ...['diskUsage', 'images', 'removeImage', 'endLeftProcesses', 'info'],
] as const;

interface Question {
  readonly id: number;
  readonly verb: string;
  readonly args: readonly unknown[];
}
type Word =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly failed: string; readonly code: RuntimeError['code'] | undefined }
  | { readonly event: RuntimeEvent };

/** Answers a child's agent from an engine in this process, which so outlives it as a real one would. */
export function serveRuntime(child: ChildProcess, runtime: ContainerRuntime): void {
  const gone = new AbortController();
  const tell = (word: Word): void => {
    if (child.connected) child.send(word, () => undefined); // whoever is gone needs no answer
  };
  child.once('disconnect', () => {
    gone.abort(new Error('its agent is gone'));
  });
  const methods = runtime as unknown as Record<string, (...args: readonly unknown[]) => Promise<unknown>>;
  child.on('message', (message) => {
    const { id, verb, args } = message as Question;
    const method = methods[verb];
    if (method === undefined) return;
    method(...args, gone.signal).then(
      (value) => {
        tell({ id, value });
      },
      (error: unknown) => {
        tell({ id, failed: String(error), code: error instanceof RuntimeError ? error.code : undefined });
      },
    );
  });
  runtime.events(
    (event) => {
      tell({ event });
    },
    () => undefined,
    gone.signal,
  );
}

/** The engine of the process that forked this one. */
export function remoteRuntime(): ContainerRuntime {
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  const listeners = new Set<(event: RuntimeEvent) => void>();
  let next = 0;
  process.on('message', (message) => {
    const word = message as Word;
    if ('event' in word) {
      for (const listener of listeners) listener(word.event);
      return;
    }
    const caller = waiting.get(word.id);
    waiting.delete(word.id);
    if ('failed' in word)
      caller?.reject(word.code === undefined ? new Error(word.failed) : new RuntimeError(word.code, word.failed));
    else caller?.resolve(word.value);
  });
  const ask =
    (verb: string) =>
    (...args: readonly unknown[]): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const question: Question = { id: next++, verb, args: args.filter((arg) => !(arg instanceof AbortSignal)) };
        waiting.set(question.id, { resolve, reject });
        process.send?.(question);
      });
  const events: ContainerRuntime['events'] = (onEvent, _, signal) => {
    listeners.add(onEvent);
    signal.addEventListener('abort', () => listeners.delete(onEvent), { once: true });
  };
  return { ...Object.fromEntries(verbs.map((verb) => [verb, ask(verb)])), events } as unknown as ContainerRuntime;
}
