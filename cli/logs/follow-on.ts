import { backoffMs } from '../../lib/base/backoff.ts';
import { wait } from '../../lib/base/clock.ts';
import { hasReason } from '../../lib/base/errors.ts';
import { containerStatusIn } from '../../lib/api/container-choice.ts';
import { keyOf } from '../../lib/api/keys.ts';
import type { ContainerStatus, Pod } from '../../lib/api/objects.ts';
import { isTerminal } from '../../lib/api/pods.ts';
import type { LogWish } from '../../lib/api/streams.ts';
import { follow } from '../follow.ts';
import type { Session } from '../session.ts';

const retry = { firstMs: 200, maxMs: 5_000 };

/**
 * What a container writes, for as long as its pod lives: over breaks of the way there (an agent or an apiserver that is started anew), and
 * over restarts of the container, without losing or doubling a byte that the node still has. Ends with the pod, or with a container that is not started again. What
 * another try does not mend is thrown.
 */
export async function* followOn(
  session: Session,
  pod: Pod,
  container: string,
  wish: LogWish,
): AsyncGenerator<Uint8Array> {
  const streams = await session.streams();
  const { signal } = session;
  const { namespace = '', name } = pod.metadata;
  const { limitBytes } = wish;
  let after: string | undefined;
  let since = 0; // bytes after that position
  let all = 0;
  let failures = 0;
  let life = containerStatusIn(pod, container)?.containerID;
  while (!signal.aborted) {
    const left = limitBytes === undefined ? {} : { limitBytes: limitBytes - all };
    const { follow: _, timestamps = false } = wish;
    const again = { follow: true, timestamps, ...left, after: `${after ?? ''}+${since}` };
    try {
      const onPosition = (position: string): void => {
        [after, since, failures] = [position, 0, 0];
      };
      const asked = after === undefined ? wish : again;
      for await (const chunk of streams.logs({ namespace, pod: name, container }, asked, signal, onPosition)) {
        since += chunk.length;
        all += chunk.length;
        yield chunk;
      }
      if (limitBytes !== undefined && all >= limitBytes) return;
      const next = await nextLife(session, pod, container, life);
      if (next === undefined) return;
      life = next;
      if (after === undefined) return; // a server that tells no positions
    } catch (error) {
      if (isOver(signal)) return;
      if (after === undefined || !hasReason(error, 'ServiceUnavailable', 'Timeout')) throw error;
      if (failures++ === 0) session.note(`the logs of pod/${name} broke off; going on as soon as its node answers`);
      await wait(session.shell.clock, backoffMs(failures, retry), signal).catch(() => undefined);
      if ((await nowOf(session, pod).catch(() => pod)) === undefined) return;
    }
  }
}

/** Asked again after an await, when the answer may have changed. */
const isOver = (signal: AbortSignal): boolean => signal.aborted;

/**
 * After the end of a container's output: the id of its next life as soon as that runs; undefined where there is none to come. Pushed by the
 * API, not asked for.
 */
async function nextLife(
  session: Session,
  pod: Pod,
  container: string,
  life: string | undefined,
): Promise<string | undefined> {
  const { namespace = '', name, uid } = pod.metadata;
  const now = await nowOf(session, pod);
  if (now === undefined || session.signal.aborted) return undefined;
  let isTold = false;
  /** Undefined: it is not known yet. */
  const verdict = (seen: Pod): { readonly next: string | undefined } | undefined => {
    const status = containerStatusIn(seen, container);
    if (status?.containerID !== undefined && status.containerID !== life && status.state?.waiting === undefined)
      return { next: status.containerID };
    if (isTerminal(seen) || isLast(seen, container, status)) return { next: undefined };
    if (!isTold && status?.state?.running === undefined) {
      const code = (status?.state?.terminated ?? status?.lastState?.terminated)?.exitCode;
      const how = code === undefined ? '' : ` with exit code ${code}`;
      session.note(
        `container ${container} of pod/${name} ended${how}; going on when it is started again (Ctrl-C ends this)`,
      );
      isTold = true;
    }
    return undefined;
  };
  const first = verdict(now);
  if (first !== undefined) return first.next;
  const selection = { namespace, fieldSelector: `metadata.name=${name}`, fromRevision: now.metadata.resourceVersion };
  for await (const { type, object } of follow(session, 'pods', selection, session.signal)) {
    if (object === undefined) continue;
    if (type === 'DELETED' || object.metadata.uid !== uid) return undefined;
    const found = verdict(object);
    if (found !== undefined) return found.next;
  }
  return undefined;
}

/** The pod as it is; undefined where it is gone, or another has its name. */
async function nowOf(session: Session, pod: Pod): Promise<Pod | undefined> {
  const client = await session.client();
  const now = await client.get('pods', keyOf(pod), session.call);
  return now?.metadata.uid === pod.metadata.uid ? now : undefined;
}

/** Whether a container that has ended stays so. */
function isLast({ spec, metadata }: Pod, container: string, status: ContainerStatus | undefined): boolean {
  const ended = status?.state?.terminated;
  if (ended === undefined) return false;
  if (metadata.deletionTimestamp !== undefined) return true;
  if (spec.ephemeralContainers?.some(({ name }) => name === container) === true) return true;
  const init = spec.initContainers?.find(({ name }) => name === container);
  const policy = init?.restartPolicy ?? spec.restartPolicy;
  if (init !== undefined && init.restartPolicy === undefined && ended.exitCode === 0) return true;
  return policy === 'Never' || (policy === 'OnFailure' && ended.exitCode === 0);
}
