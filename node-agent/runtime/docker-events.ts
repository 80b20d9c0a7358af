import type { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { backoffMs } from '../../lib/base/backoff.ts';
import { wait, type Clock } from '../../lib/base/clock.ts';
import type { RuntimeEvent } from './runtime.ts';

interface Listeners {
  readonly onEvent: (event: RuntimeEvent) => void;
  readonly onGap: () => void;
}

/** Follows the engine's events for ever: a broken stream is opened again, and `onGap` says that something may be missing. */
export async function followEvents(
  docker: Docker,
  labels: Readonly<Record<string, string>>,
  listeners: Listeners,
  run: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const filters = {
    type: ['container'],
    event: ['start', 'die', 'oom', 'destroy'],
    label: Object.entries(labels).map(([key, value]) => `${key}=${value}`),
  };
  for (let attempt = 0, first = true; !run.signal.aborted; first = false) {
    try {
      const stream = (await docker.getEvents({ filters: JSON.stringify(filters) as never })) as Readable;
      attempt = 0;
      if (!first) listeners.onGap();
      const stop = (): void => void stream.destroy();
      run.signal.addEventListener('abort', stop, { once: true });
      if (run.signal.aborted) stop();
      try {
        await eachLine(stream, (line) => {
          const event = eventOf(line);
          if (event !== undefined) listeners.onEvent(event);
        });
      } finally {
        run.signal.removeEventListener('abort', stop);
      }
    } catch {
      // The engine is away or broke the stream; whoever needs it says so by its own calls.
    }
    if (run.signal.aborted) return;
    await wait(run.clock, backoffMs(attempt++, { firstMs: 50, maxMs: 2_000 }), run.signal).catch(() => undefined);
  }
}

async function eachLine(stream: Readable, onLine: (line: string) => void): Promise<void> {
  let rest = '';
  stream.setEncoding('utf8');
  for await (const chunk of stream as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') onLine(line);
  }
}

interface DockerEvent {
  readonly Action?: string;
  readonly Actor?: { readonly ID?: string; readonly Attributes?: Readonly<Record<string, string>> };
}

function eventOf(line: string): RuntimeEvent | undefined {
  const event = JSON.parse(line) as DockerEvent;
  const type = event.Action;
  const containerId = event.Actor?.ID;
  if (containerId === undefined) return undefined;
  if (type !== 'start' && type !== 'die' && type !== 'oom' && type !== 'destroy') return undefined;
  return { type, containerId, name: event.Actor?.Attributes?.['name'] ?? '', labels: event.Actor?.Attributes ?? {} };
}
