import { ApiError, hasReason, isApiError, messageOf, type Reason } from '../base/errors.ts';
import type { EventBus } from './bus.ts';
import { nodeSubject } from './subjects.ts';

/**
 * What containers and nodes use, asked of the node's agent over the bus, since agents open no port:
 *
 *   node.<n>.stats   StatsQuestion  -> NodeStats, or {"error": {"reason", "message"}}
 *
 * Figures that are not known are absent; nothing is ever taken for zero.
 */
export interface StatsQuestion {
  /** Only pods of this namespace. */
  readonly namespace?: string;
  /** Only these pods, by uid. */
  readonly uids?: readonly string[];
  /** Figures may be so old; default 1000. Older ones are taken anew first. */
  readonly maxAgeMs?: number;
  /** With what is remembered of the past, one minute at least where the container is that old. */
  readonly history?: boolean;
}

export interface NodeStats {
  readonly node: string;
  readonly machine: MachineStats;
  readonly pods: readonly PodStats[];
}

export interface MachineStats {
  /** When the figures were taken, RFC 3339. */
  readonly time: string;
  readonly cpu?: CpuStats;
  readonly memory?: { readonly totalBytes: number; readonly availableBytes: number; readonly workingSetBytes: number };
  /** The devices of the machine itself, together. */
  readonly network?: NetworkStats;
  /** Of the agent's folder, where pods' files are. */
  readonly filesystem?: FilesystemStats;
  readonly history?: StatsHistory;
}

export interface FilesystemStats {
  readonly path: string;
  readonly totalBytes: number;
  readonly availableBytes: number;
  readonly files: number;
  readonly freeFiles: number;
}

export interface PodStats {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** As the pod sees it; absent for pods on the machine's own network. */
  readonly network?: NetworkStats;
  readonly containers: readonly ContainerStats[];
}

export interface ContainerStats {
  readonly name: string;
  /** The engine's name for it. */
  readonly id: string;
  /** 0 for the first life of the container, 1 after its first restart. */
  readonly attempt: number;
  readonly startedAt?: string;
  /** When the figures were taken, RFC 3339. */
  readonly time: string;
  readonly cpu?: CpuStats;
  readonly memory?: MemoryStats;
  readonly io?: IoStats;
  readonly processes?: number;
  readonly history?: StatsHistory;
}

export interface CpuStats {
  readonly usageNanos: number;
  /** Billionths of a CPU over the window before `time`; absent until there are two readings. */
  readonly nanoCores?: number;
  readonly windowMs?: number;
  readonly userNanos?: number;
  readonly systemNanos?: number;
  readonly periods?: number;
  readonly throttledPeriods?: number;
  readonly throttledNanos?: number;
  readonly limitMilli?: number;
}
export interface MemoryStats {
  readonly usageBytes: number;
  readonly workingSetBytes: number;
  readonly rssBytes?: number;
  readonly cacheBytes?: number;
  readonly swapBytes?: number;
  readonly limitBytes?: number;
  readonly oomKills?: number;
}
export interface IoStats {
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly reads: number;
  readonly writes: number;
}
export interface NetworkStats {
  readonly rxBytes: number;
  readonly rxPackets: number;
  readonly rxErrors: number;
  readonly rxDropped: number;
  readonly txBytes: number;
  readonly txPackets: number;
  readonly txErrors: number;
  readonly txDropped: number;
}

/** Columns of equal length, oldest first. Counters grow; take differences. */
export interface StatsHistory {
  /** Milliseconds since 1970, by the clock as it is now. */
  readonly timeMs: readonly number[];
  readonly cpuNanos: readonly number[];
  readonly workingSetBytes: readonly number[];
  /** Of containers only. */
  readonly throttledNanos?: readonly number[];
  readonly readBytes?: readonly number[];
  readonly writeBytes?: readonly number[];
}

export const statsVerb = 'stats';

export type StatsAnswer = NodeStats | { readonly error: { readonly reason: Reason; readonly message: string } };

/** Asks one node. Throws ServiceUnavailable where nobody answers in time, else what the agent says. */
export async function askStats(
  bus: EventBus,
  at: { readonly cluster: string; readonly node: string; readonly timeoutMs: number },
  question: StatsQuestion,
): Promise<NodeStats> {
  const { cluster, node, timeoutMs } = at;
  const subject = nodeSubject(cluster, node, statsVerb);
  let data: Uint8Array;
  try {
    ({ data } = await bus.request(subject, Buffer.from(JSON.stringify(question)), timeoutMs));
  } catch (cause) {
    const why = hasReason(cause, 'Timeout')
      ? `did not answer within ${timeoutMs} ms`
      : hasReason(cause, 'NotFound')
        ? 'is not there: nobody listens on its subject'
        : `cannot be asked: ${messageOf(cause)}`;
    throw new ApiError('ServiceUnavailable', `the agent of node "${node}" ${why}`, {}, { cause });
  }
  const answer = JSON.parse(Buffer.from(data).toString('utf8')) as StatsAnswer;
  if ('error' in answer) throw new ApiError(answer.error.reason, `node "${node}": ${answer.error.message}`);
  return answer;
}

/** Answers questions on this node's subject until aborted. `answer` throws ApiError for a question that cannot be. */
export function serveStats(
  bus: EventBus,
  at: { readonly cluster: string; readonly node: string; readonly signal: AbortSignal },
  answer: (question: StatsQuestion) => Promise<NodeStats>,
): void {
  const reply = async (asked: Uint8Array): Promise<Buffer> => {
    try {
      const bytes = Buffer.from(JSON.stringify(await answer(questionIn(asked))));
      if (bytes.length <= bus.maxMessageBytes) return bytes;
      throw new ApiError(
        'RequestEntityTooLarge',
        `the answer has ${bytes.length} bytes, the bus takes ${bus.maxMessageBytes}; name a namespace or pods`,
      );
    } catch (error) {
      const reason = isApiError(error) ? error.reason : 'InternalError';
      return Buffer.from(JSON.stringify({ error: { reason, message: messageOf(error) } } satisfies StatsAnswer));
    }
  };
  const subscription = bus.subscribe(
    nodeSubject(at.cluster, at.node, statsVerb),
    ({ reply: subject, data }) => {
      if (subject === undefined) return;
      void reply(data).then((bytes) => {
        if (bus.connected) bus.publish({ subject, headers: {}, data: bytes });
      });
    },
    () => undefined, // who asked and hears nothing asks again
  );
  at.signal.addEventListener('abort', () => {
    subscription.close();
  });
}

/** The question, checked. An empty body asks for everything. */
function questionIn(data: Uint8Array): StatsQuestion {
  if (data.length === 0) return {};
  let asked: unknown;
  try {
    asked = JSON.parse(Buffer.from(data).toString('utf8'));
  } catch (cause) {
    throw new ApiError('BadRequest', `the question is not JSON: ${messageOf(cause)}`, {}, { cause });
  }
  if (typeof asked !== 'object' || asked === null) throw new ApiError('BadRequest', 'the question is no JSON object');
  const { namespace, uids, maxAgeMs, history } = asked as Readonly<Record<string, unknown>>;
  if (namespace !== undefined && typeof namespace !== 'string') throw wrong('namespace', 'a text');
  if (uids !== undefined && !(Array.isArray(uids) && uids.every((uid) => typeof uid === 'string')))
    throw wrong('uids', 'a list of texts');
  if (maxAgeMs !== undefined && !(typeof maxAgeMs === 'number' && maxAgeMs >= 0))
    throw wrong('maxAgeMs', 'a number from 0');
  if (history !== undefined && typeof history !== 'boolean') throw wrong('history', 'true or false');
  return asked;
}

const wrong = (field: string, wanted: string): ApiError =>
  new ApiError('BadRequest', `${field} of the question must be ${wanted}`);
