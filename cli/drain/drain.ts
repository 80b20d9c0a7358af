import { hasReason, isApiError, messageOf } from '../../lib/base/errors.ts';
import { keyOf, makeKey } from '../../lib/api/keys.ts';
import { leavingAnnotation } from '../../lib/api/leaving.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { conditionOf, controllerOf, isDeleting } from '../../lib/api/pods.ts';
import { decideStep, markLastsMs } from '../../lib/api/replacing.ts';
import type { Client } from '../../lib/client/client.ts';
import { Wake } from '../../lib/view/wake.ts';
import { follow } from '../follow.ts';
import type { Session } from '../session.ts';
import { AlreadyReported } from '../shell.ts';
import { finishedWords, hasFinished, sortPods, type Allowed } from './decide.ts';

export interface DrainOptions extends Allowed {
  readonly gracePeriodSeconds: number | undefined;
  /** Pods go only when their replacements are ready. */
  readonly replaceFirst: boolean;
  /** Undefined: as long as it takes. */
  readonly timeoutMs: number | undefined;
}

/** A budget tells nobody when it allows more: it is asked again so often, besides whenever a pod changes. */
const askAgainMs = 1_000;

/** Sets whether pods may be placed on a node; says what it was. */
export async function cordon(session: Session, name: string, on: boolean): Promise<void> {
  const client = await session.client();
  const node = await client.get('nodes', name, session.call);
  if (node === undefined) throw new Error(`nodes "${name}" not found`);
  const [done, already] = on ? ['cordoned', 'is cordoned already'] : ['uncordoned', 'takes pods already'];
  if ((node.spec.unschedulable === true) === on) return session.print(`node/${name} ${already}`);
  await client.patch('nodes', name, { spec: { unschedulable: on ? true : null } }, session.call);
  session.print(`node/${name} ${done}`);
}

/**
 * Moves what serves on a node elsewhere and ends when the node itself has said that the containers are gone. The node stays cordoned. What is
 * not done after the time, or when interrupted, is told with what it waits for; nothing of it is left behind.
 */
export async function drain(session: Session, name: string, options: DrainOptions): Promise<void> {
  const client = await session.client();
  const onNode = async (): Promise<readonly Pod[]> =>
    (await client.list('pods', { fieldSelector: `spec.nodeName=${name}` }, session.call)).items;
  const { against } = sortPods(await onNode(), options);
  if (against.length > 0) {
    for (const { pod, why } of against) session.report(new Error(`pod ${keyOf(pod)} ${why}`), `drain node/${name}`);
    throw new AlreadyReported();
  }
  await cordon(session, name, true);
  const over = new AbortController();
  const stopClock =
    options.timeoutMs === undefined
      ? (): void => undefined
      : session.shell.clock.after(options.timeoutMs, () => {
          over.abort();
        });
  const drainer = new Drainer(session, client, options, AbortSignal.any([session.signal, over.signal]));
  let count = 0;
  let finished = 0;
  try {
    // A pod may have been on its way here when the node was cordoned.
    for (let first = true; ; first = false) {
      const { go, stay } = sortPods(await onNode(), { force: true, emptyDirData: true });
      if (first) for (const { pod, why } of stay) session.note(`pod ${keyOf(pod)} stays: it ${why}`);
      finished = stay.filter(({ pod }) => hasFinished(pod)).length;
      if (go.length === 0) break;
      count += await drainer.empty(go);
    }
  } finally {
    stopClock();
    await drainer.close();
  }
  const node = await client.get('nodes', name, session.call);
  const ready = node === undefined ? undefined : conditionOf(node.status, 'Ready');
  if (ready?.status !== 'True')
    throw new Error(
      `node/${name} has no pods left, but it is ${node === undefined ? 'gone' : 'not ready'}: nobody can say that their containers have ended`,
    );
  const kept =
    finished === 0
      ? ''
      : `; ${counted(finished)} that had finished ${finished === 1 ? 'stays' : 'stay'}, with the logs`;
  session.print(`node/${name} drained: ${counted(count)}, and the node says that their containers are gone${kept}`);
}

const counted = (pods: number): string => `${pods} ${pods === 1 ? 'pod' : 'pods'}`;

class Drainer {
  readonly #session: Session;
  readonly #client: Client;
  readonly #options: DrainOptions;
  readonly #signal: AbortSignal;
  readonly #ended = new AbortController();
  readonly #wake = new Wake();
  /** Of the namespaces that are followed, by uid. */
  readonly #pods = new Map<string, Pod>();
  readonly #followed = new Map<string, Promise<void>>();
  readonly #marked = new Set<string>();
  readonly #said = new Map<string, string>();
  #failure: unknown;

  constructor(session: Session, client: Client, options: DrainOptions, signal: AbortSignal) {
    this.#session = session;
    this.#client = client;
    this.#options = options;
    this.#signal = signal;
  }

  /**
   * Resolves when all of them are gone or have finished by themselves, with how many are gone. Rejects with what they wait for when the time
   * is over.
   */
  async empty(pods: readonly Pod[]): Promise<number> {
    for (const namespace of new Set(pods.map(({ metadata }) => metadata.namespace ?? '')))
      await this.#follow(namespace);
    const uids = new Set(pods.map(({ metadata }) => metadata.uid));
    let gone = 0;
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure as Error;
      for (const uid of [...uids]) {
        const now = this.#pods.get(uid);
        if (now !== undefined && !hasFinished(now)) continue;
        uids.delete(uid);
        if (now !== undefined) {
          this.#say(now, `stays: it ${finishedWords(now)}`);
          continue;
        }
        gone++;
        const pod = pods.find(({ metadata }) => metadata.uid === uid);
        if (pod !== undefined) this.#session.print(`pod ${keyOf(pod)} is gone`);
      }
      if (uids.size === 0) return gone;
      if (this.#signal.aborted) throw this.#unfinished(uids);
      await this.#step([...uids].flatMap((uid) => this.#pods.get(uid) ?? []));
      await this.#wake.nextOr(this.#session.shell.clock, askAgainMs, this.#signal);
    }
  }

  async #step(going: readonly Pod[]): Promise<void> {
    const { shell, call } = this.#session;
    const replicas = this.#options.replaceFirst ? await this.#replicasOf(going) : new Map<string, number>();
    const nowMs = shell.clock.now();
    const { mark, evict, wait } = decideStep({ going, siblings: [...this.#pods.values()], replicas, nowMs });
    for (const pod of mark) {
      const until = new Date(nowMs + markLastsMs).toISOString();
      const marked = await this.#client
        .patch(
          'pods',
          keyOf(pod),
          { metadata: { uid: pod.metadata.uid, annotations: { [leavingAnnotation]: until } } },
          call,
        )
        .catch(goneOrRaced);
      if (marked === undefined) continue;
      this.#marked.add(pod.metadata.uid);
      this.#heard(marked);
    }
    await Promise.all(evict.map((pod) => this.#evict(pod)));
    for (const { pod, why } of wait) this.#say(pod, isDeleting(pod) ? why : `waits: ${why}`);
  }

  async #evict(pod: Pod): Promise<void> {
    const { gracePeriodSeconds } = this.#options;
    const grace = gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds };
    const options = { ...grace, preconditions: { uid: pod.metadata.uid } };
    try {
      await this.#client.evict(keyOf(pod), options, this.#session.call);
      this.#say(pod, 'evicted');
    } catch (error) {
      if (hasReason(error, 'NotFound', 'Conflict')) return; // it is gone, or changed at that moment: seen soon
      if (!hasReason(error, 'TooManyRequests')) throw error;
      const [cause] = isApiError(error) ? (error.details.causes ?? []) : [];
      this.#say(pod, `waits: ${cause?.message ?? messageOf(error)}`);
    }
  }

  /** Those that make pods anew, and how many each wants. */
  async #replicasOf(going: readonly Pod[]): Promise<ReadonlyMap<string, number>> {
    const replicas = new Map<string, number>();
    for (const pod of going) {
      const owner = controllerOf(pod);
      if (owner === undefined || replicas.has(owner.uid)) continue;
      const key = makeKey(pod.metadata.namespace, owner.name);
      const found =
        owner.kind === 'ReplicationController'
          ? await this.#client.get('replicationcontrollers', key, this.#session.call)
          : owner.kind === 'ReplicaSet'
            ? await this.#client.get('replicasets', key, this.#session.call)
            : undefined;
      if (found?.metadata.uid === owner.uid && !isDeleting(found)) replicas.set(owner.uid, found.spec.replicas);
    }
    return replicas;
  }

  /** Each piece of news about a pod once. */
  #say(pod: Pod, words: string): void {
    if (this.#said.get(pod.metadata.uid) === words) return;
    this.#said.set(pod.metadata.uid, words);
    const line = `pod ${keyOf(pod)} ${words}`;
    if (words === 'evicted') this.#session.print(line);
    else this.#session.note(line);
  }

  #unfinished(uids: ReadonlySet<string>): Error {
    if (this.#session.signal.aborted) return this.#session.signal.reason as Error;
    const left = [...uids].flatMap((uid) => this.#pods.get(uid) ?? []);
    const lines = left.map((pod) => `\n  pod ${keyOf(pod)} ${this.#said.get(pod.metadata.uid) ?? 'is there'}`);
    return new Error(
      `not drained after ${(this.#options.timeoutMs ?? 0) / 1000} s; the node stays cordoned:${lines.join('')}`,
    );
  }

  async #follow(namespace: string): Promise<void> {
    if (this.#followed.has(namespace)) return;
    const { items, revision } = await this.#client.list('pods', { namespace }, this.#session.call);
    for (const pod of items) this.#heard(pod);
    this.#followed.set(namespace, this.#read(namespace, revision));
  }

  async #read(namespace: string, fromRevision: string): Promise<void> {
    try {
      for await (const { type, object } of follow(
        this.#session,
        'pods',
        { namespace, fromRevision },
        this.#ended.signal,
      )) {
        if (object === undefined) continue;
        if (type === 'DELETED') this.#pods.delete(object.metadata.uid);
        else this.#heard(object);
        this.#wake.wake();
      }
    } catch (error) {
      this.#failure = error;
      this.#wake.wake();
    }
  }

  #heard(pod: Pod): void {
    const known = this.#pods.get(pod.metadata.uid);
    if (known !== undefined && Number(known.metadata.resourceVersion) > Number(pod.metadata.resourceVersion)) return;
    this.#pods.set(pod.metadata.uid, pod);
  }

  /** Pods that were to go and did not are their controllers' again; one that cannot be told is so when its mark ends. */
  async close(): Promise<void> {
    this.#ended.abort();
    await Promise.all(this.#followed.values());
    for (const uid of this.#marked) {
      const pod = this.#pods.get(uid);
      if (pod === undefined || isDeleting(pod)) continue;
      await this.#client
        .patch(
          'pods',
          keyOf(pod),
          { metadata: { uid, annotations: { [leavingAnnotation]: null } } },
          { timeoutMs: 5_000 },
        )
        .catch(() => undefined);
    }
  }
}

function goneOrRaced(error: unknown): undefined {
  if (!hasReason(error, 'NotFound', 'Conflict', 'Invalid')) throw error;
  return undefined;
}
