import type { Clock } from '../../lib/base/clock.ts';
import { ApiError, isApiError, type Reason } from '../../lib/base/errors.ts';
import type { Log } from '../../lib/base/log.ts';
import type { EventBus } from '../../lib/bus/bus.ts';
import type { StreamRequest } from '../../lib/bus/streams/requests.ts';
import { serveStreams, type Opened } from '../../lib/bus/streams/serve.ts';
import type { AgentMetrics } from '../metrics.ts';
import { RuntimeError, type ContainerRuntime } from '../runtime/runtime.ts';
import { openReadFiles, openWriteFiles } from './files.ts';
import { openLogs } from './logs.ts';
import { newPodDialer, type PodDialer } from './pod-dialer.ts';
import { openPortForward } from './port-forward.ts';
import { openAttach, openExec } from './process.ts';
import { podOf, type StreamPod } from './target.ts';

export interface PodStreamsOptions {
  readonly bus: EventBus;
  readonly cluster: string;
  readonly node: string;
  readonly runtime: Pick<ContainerRuntime, 'logs' | 'startProcess' | 'attach' | 'readFiles' | 'writeFiles'>;
  readonly pods: () => Iterable<StreamPod>;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** exec, attach and port-forward end when nothing is sent either way for so long. Default 4 hours. */
  readonly idleMs?: number;
  readonly dialer?: PodDialer;
  readonly metrics?: Pick<AgentMetrics, 'streams' | 'openStreams'>;
}

const usualIdleMs = 4 * 60 * 60_000;

/** Serves logs, exec, attach, port-forward and files of this node's pods over the bus (`lib/bus/streams/`) until aborted. */
export function servePodStreams(options: PodStreamsOptions): void {
  const { node, runtime, clock, idleMs = usualIdleMs, dialer = newPodDialer(clock), metrics } = options;

  function opened(request: StreamRequest, signal: AbortSignal): Opened | Promise<Opened> {
    const pod = podOf(options.pods(), request, node);
    const parts = { runtime, clock, signal, idleMs, dialer };
    switch (request.verb) {
      case 'logs':
        return openLogs(pod, request, parts);
      case 'exec':
        return openExec(pod, request, parts);
      case 'attach':
        return openAttach(pod, request, parts);
      case 'port-forward':
        return openPortForward(pod, request, parts);
      case 'read-files':
        return openReadFiles(pod, request, parts);
      case 'write-files':
        return openWriteFiles(pod, request, parts);
    }
  }

  const ended = (verb: string, outcome: 'ok' | 'refused' | 'failed'): void => {
    metrics?.streams.add(1, { verb, outcome });
  };

  serveStreams({
    ...options,
    async open(request, signal) {
      const { verb } = request;
      try {
        const { run, ...rest } = await opened(request, signal);
        const counted: Opened['run'] = async (stream) => {
          metrics?.openStreams.add(1, { verb });
          try {
            const ending = await run(stream);
            ended(verb, 'ok');
            return ending;
          } catch (error) {
            ended(verb, 'failed');
            throw apiError(error);
          } finally {
            metrics?.openStreams.add(-1, { verb });
          }
        };
        return { ...rest, run: counted };
      } catch (error) {
        ended(verb, 'refused');
        throw apiError(error);
      }
    },
  });
  options.signal.addEventListener('abort', () => {
    dialer.close();
  });
}

const reasons: Readonly<Partial<Record<RuntimeError['code'], Reason>>> = {
  NotFound: 'NotFound',
  NoSuchFile: 'NotFound',
  NotRunning: 'BadRequest',
  ReadOnly: 'BadRequest',
  NoSpace: 'BadRequest',
  BadTar: 'BadRequest',
  Unavailable: 'ServiceUnavailable',
};

function apiError(error: unknown): unknown {
  if (isApiError(error) || !(error instanceof RuntimeError)) return error;
  return new ApiError(reasons[error.code] ?? 'InternalError', error.message, {}, { cause: error });
}
