import { ApiError } from '../../lib/base/errors.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { keyOf } from '../../lib/api/keys.ts';
import { conditionOf } from '../../lib/api/pods.ts';
import { containerNames, containerStatusIn } from '../../lib/api/container-choice.ts';
import type { LogWish } from '../../lib/api/streams.ts';
import { follow } from '../follow.ts';
import type { Session } from '../session.ts';
import { followOn } from './follow-on.ts';
import { newLineSplitter } from './lines.ts';
import { oneContainer, type ChosenPods } from '../streams/choose.ts';

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

/** Prints the logs; resolves to the number of containers whose logs could not be had. With `follow`, until all pods have ended or Ctrl-C. */
export async function showLogs(
  session: Session,
  { pods, selection }: ChosenPods,
  options: ShowOptions,
): Promise<number> {
  const sources = pods.flatMap((pod) => sourcesOf(session, pod, options.containers));
  const several = sources.length > 1 || selection !== undefined;
  const width = Math.max(0, ...sources.map((source) => prefixOf(source).length));
  let failed = 0;
  const show = async (source: Source): Promise<void> => {
    const name = (): string => session.colors.cyan(prefixOf(source).padEnd(width)) + ' ';
    const prefix = (options.prefix ?? several) ? name() : several ? '' : undefined;
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
  containerNames(pod).length === 1 ? `[${pod.metadata.name}]` : `[${pod.metadata.name} ${container}]`;

function sourcesOf(session: Session, pod: Pod, wanted: string | undefined): Source[] {
  const names = containerNames(pod);
  if (wanted === 'all') return names.map((container) => ({ pod, container }));
  return [{ pod, container: oneContainer(session, pod, wanted) }];
}

async function showOne(
  session: Session,
  { pod, container }: Source,
  wish: LogWish,
  prefix: string | undefined,
): Promise<void> {
  if (!(await hasRun(session, pod, container, wish))) return;
  const streams = await session.streams();
  const { namespace = '', name } = pod.metadata;
  const { stdout } = session.shell;
  const chunks =
    wish.follow === true
      ? followOn(session, pod, container, wish)
      : streams.logs({ namespace, pod: name, container }, wish, session.signal);
  if (prefix === undefined) {
    for await (const chunk of chunks) await stdout.writeBytes(chunk); // as it is: it need not even be text
    return;
  }
  const splitter = newLineSplitter();
  const print = (lines: readonly string[]): Promise<void> =>
    lines.length === 0
      ? Promise.resolve()
      : stdout.writeBytes(Buffer.from(lines.map((line) => `${prefix}${line}\n`).join('')));
  try {
    for await (const chunk of chunks) await print(splitter.push(chunk));
  } finally {
    await print(splitter.end());
  }
}

/**
 * Whether the container runs or has run. With `follow`, waits for that; false when the pod goes away before. Otherwise ApiError
 * says what the pod is waiting for.
 */
async function hasRun(session: Session, found: Pod, container: string, wish: LogWish): Promise<boolean> {
  const obstacle = obstacleOf(found, container);
  if (obstacle === undefined) return true;
  if (wish.follow !== true) throw new ApiError('BadRequest', obstacle);
  session.note(`${obstacle}; waiting`);
  const client = await session.client();
  const { namespace = '', name, uid } = found.metadata;
  const now = await client.get('pods', keyOf(found), session.call);
  if (now?.metadata.uid !== uid) return false;
  if (obstacleOf(now, container) === undefined) return true;
  const selection = { namespace, fieldSelector: `metadata.name=${name}`, fromRevision: now.metadata.resourceVersion };
  for await (const { type, object } of follow(session, 'pods', selection, session.signal)) {
    if (object === undefined) continue;
    if (type === 'DELETED' || object.metadata.uid !== uid) return false;
    if (obstacleOf(object, container) === undefined) return true;
  }
  return false;
}

/** Why there can be no logs yet. */
function obstacleOf(pod: Pod, container: string): string | undefined {
  const { name } = pod.metadata;
  if (pod.spec.nodeName === undefined) {
    const why = conditionOf(pod.status, 'PodScheduled')?.message;
    return `pod/${name} has no node yet${why === undefined ? '' : ` (${why})`}`;
  }
  const status = containerStatusIn(pod, container);
  const ran = status?.containerID !== undefined && status.containerID !== '';
  if (ran || status?.lastState?.terminated !== undefined) return undefined;
  const waiting = status?.state?.waiting;
  const why = [waiting?.reason, waiting?.message].filter((part) => part !== undefined && part !== '').join(': ');
  return `container ${container} of pod/${name} has not started yet${why === '' ? '' : ` (${why})`}`;
}
