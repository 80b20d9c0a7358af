import { ApiError } from '../../lib/base/errors.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { keyOf } from '../../lib/api/keys.ts';
import { conditionOf } from '../../lib/api/pods.ts';
import { openLogs, type LogRequest } from '../../lib/bus/node-streams.ts';
import { follow } from '../follow.ts';
import type { Session } from '../session.ts';
import { newLineSplitter } from './lines.ts';
import type { LogPods } from './pods.ts';

/** What to show of a container's log. */
export type LogWish = Omit<LogRequest, 'namespace' | 'pod' | 'container'>;

export interface ShowOptions {
  readonly request: LogWish;
  /** A container's name, all of them, or each pod's first. */
  readonly containers: string | undefined;
  /** Undefined: where there is more than one source. */
  readonly prefix: boolean | undefined;
}

/** How many containers are listened to at once; more would be unreadable, and each is a stream from a node. */
const maxStreams = 200;

interface Source {
  readonly pod: Pod;
  readonly container: string;
}

/** Prints the logs; resolves to the number of containers whose logs could not be had. With `follow`, until all have ended or Ctrl-C. */
export async function showLogs(session: Session, { pods, selection }: LogPods, options: ShowOptions): Promise<number> {
  const sources = pods.flatMap((pod) => sourcesOf(session, pod, options.containers));
  const several = sources.length > 1 || selection !== undefined;
  const width = Math.max(0, ...sources.map((source) => prefixOf(source).length));
  let failed = 0;
  const show = async (source: Source): Promise<void> => {
    const prefix = (options.prefix ?? several) ? session.colors.cyan(prefixOf(source).padEnd(width)) + ' ' : '';
    try {
      await showOne(session, source, options.request, prefix);
    } catch (error) {
      if (session.signal.aborted) return;
      failed++;
      session.report(error, `read the logs of ${prefixOf(source)}`);
    }
  };
  if (options.request.follow !== true) {
    if (sources.length === 0) session.note(`No pods found in ${session.globals.namespace} namespace.`);
    for (const source of sources) await show(source);
    return failed;
  }
  if (sources.length > maxStreams) {
    throw new ApiError(
      'BadRequest',
      `${sources.length} containers match; at most ${maxStreams} can be followed at once: narrow the selector`,
    );
  }
  if (selection === undefined) {
    await Promise.all(sources.map(show));
    return failed;
  }
  const seen = new Set(pods.map((pod) => pod.metadata.uid));
  const running = new Set<Promise<void>>();
  const start = (source: Source): void => {
    const work = show(source).finally(() => running.delete(work));
    running.add(work);
  };
  if (sources.length === 0) session.note('No pods yet; waiting for some');
  sources.forEach(start);
  for await (const { type, object } of follow(session, 'pods', selection, session.signal)) {
    if (object === undefined || type === 'DELETED' || seen.has(object.metadata.uid)) continue;
    seen.add(object.metadata.uid);
    const more = sourcesOf(session, object, options.containers);
    if (running.size + more.length > maxStreams)
      session.warn(`${object.metadata.name}: not followed, ${maxStreams} containers are already`);
    else more.forEach(start);
  }
  await Promise.all(running);
  return failed;
}

const prefixOf = ({ pod, container }: Source): string =>
  pod.spec.containers.length === 1 ? `[${pod.metadata.name}]` : `[${pod.metadata.name} ${container}]`;

function sourcesOf(session: Session, pod: Pod, wanted: string | undefined): Source[] {
  const names = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].map(({ name }) => name);
  const [first] = pod.spec.containers;
  if (wanted === 'all') return names.map((container) => ({ pod, container }));
  if (wanted === undefined) {
    if (pod.spec.containers.length > 1)
      session.note(
        `${pod.metadata.name} has the containers ${names.join(', ')}; showing ${first?.name ?? ''} (-c shows another)`,
      );
    return first === undefined ? [] : [{ pod, container: first.name }];
  }
  if (!names.includes(wanted)) {
    throw new ApiError(
      'BadRequest',
      `pod/${pod.metadata.name} has no container "${wanted}"; it has ${names.join(', ')}`,
    );
  }
  return [{ pod, container: wanted }];
}

async function showOne(session: Session, { pod, container }: Source, request: LogWish, prefix: string): Promise<void> {
  const node = await nodeOf(session, pod, container, request);
  if (node === undefined) return;
  const bus = await session.bus();
  const { namespace = '', name } = pod.metadata;
  const splitter = newLineSplitter();
  const print = (lines: readonly string[]): void => {
    for (const line of lines) session.print(prefix + line);
  };
  try {
    for await (const chunk of openLogs(
      bus,
      session.globals.cluster,
      node,
      { ...request, namespace, pod: name, container },
      session.signal,
    )) {
      print(splitter.push(chunk));
    }
  } finally {
    print(splitter.end());
  }
}

/**
 * The node on which the container runs or has run. With `follow`, waits for that; undefined when the pod goes away
 * before. Otherwise ApiError says what the pod is waiting for.
 */
async function nodeOf(session: Session, found: Pod, container: string, request: LogWish): Promise<string | undefined> {
  const obstacle = obstacleOf(found, container);
  if (obstacle === undefined) return found.spec.nodeName;
  if (request.follow !== true) throw new ApiError('BadRequest', obstacle);
  session.note(`${obstacle}; waiting`);
  const client = await session.client();
  const { namespace = '', name, uid } = found.metadata;
  const now = await client.get('pods', keyOf(found), session.call);
  if (now?.metadata.uid !== uid) return undefined;
  if (obstacleOf(now, container) === undefined) return now.spec.nodeName;
  const selection = { namespace, fieldSelector: `metadata.name=${name}`, fromRevision: now.metadata.resourceVersion };
  for await (const { type, object } of follow(session, 'pods', selection, session.signal)) {
    if (object === undefined) continue;
    if (type === 'DELETED' || object.metadata.uid !== uid) return undefined;
    if (obstacleOf(object, container) === undefined) return object.spec.nodeName;
  }
  return undefined;
}

/** Why there can be no logs yet. */
function obstacleOf(pod: Pod, container: string): string | undefined {
  const { name } = pod.metadata;
  if (pod.spec.nodeName === undefined) {
    const why = conditionOf(pod.status, 'PodScheduled')?.message;
    return `pod/${name} has no node yet${why === undefined ? '' : ` (${why})`}`;
  }
  const statuses = [...(pod.status.initContainerStatuses ?? []), ...(pod.status.containerStatuses ?? [])];
  const status = statuses.find((candidate) => candidate.name === container);
  const hasRun = status?.containerID !== undefined && status.containerID !== '';
  if (hasRun || status?.lastState?.terminated !== undefined) return undefined;
  const waiting = status?.state?.waiting;
  const why = [waiting?.reason, waiting?.message].filter((part) => part !== undefined && part !== '').join(': ');
  return `container ${container} of pod/${name} has not started yet${why === '' ? '' : ` (${why})`}`;
}
