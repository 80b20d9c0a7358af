import type { Clock } from '../../lib/base/clock.ts';
import { ApiError, hasReason, messageOf, type Reason } from '../../lib/base/errors.ts';
import { eachAtMost } from '../../lib/base/parallel.ts';
import { isGone } from '../../lib/api/ending.ts';
import { keyOf, makeKey, type Key } from '../../lib/api/keys.ts';
import { formatSelector, matches, selectorOfLabelSelector } from '../../lib/api/labels.ts';
import type { ControllerRevision, DaemonSet, Pod, PodTemplateSpec } from '../../lib/api/objects.ts';
import { controllerOf, isDeleting } from '../../lib/api/pods.ts';
import type { Client, Draft, Outcome } from '../../lib/client/client.ts';
import { TerminalError, type Controller, type SyncResult } from '../../lib/controller/controller.ts';
import type { Recorder } from '../../lib/controller/events.ts';
import type { FollowedConfig } from '../../lib/rollout/followed-config.ts';
import { ensureCopies } from '../../lib/rollout/keep-copies.ts';
import {
  configIn,
  copiesOf,
  dataBackTo,
  heldAnnotation,
  resolveConfig,
  type Held,
  type Resolved,
  type SeenConfig,
} from '../../lib/rollout/resolve-config.ts';
import { revertedAnnotation, revertedOf } from '../../lib/rollout/reverted.ts';
import { reconcile, type Plan } from './reconcile.ts';
import { hashOfRevision, historyOf, isOf, rolledOutAnnotation } from './revisions.ts';
import { generationOf, isRolledOut, onFailure, revertOf, type Revert } from './rollout.ts';
import { sameStatus, statusOf, type Failure } from './status.ts';
import { adopted, hashLabel, ownerReferenceOf, podOf, released, type Place } from './template.ts';
import type { Views } from './wake.ts';

export interface Parts extends Views {
  readonly client: Client;
  readonly recorder: Recorder;
  readonly clock: Clock;
  /** Most pods made in one pass. */
  readonly burst: number;
  /** The ConfigMaps and Secrets that templates name of which they are a part. */
  readonly config: FollowedConfig;
}

/** A DaemonSet as it is looked at once. */
interface Look {
  /** As it is in the API. */
  readonly set: DaemonSet;
  /** With the template that its pods are to have: with the names of copies, where configuration is a part of it. */
  readonly rolled: DaemonSet;
  readonly seen: readonly SeenConfig[];
  readonly resolved: Resolved;
  /** Of the newest template. */
  readonly current: ControllerRevision;
}

const writesAtOnce = 16;
/** A write lost its race: what it was decided by is about to be replaced in the view. */
const soonMs = 20;
/** The template was read field by field when the DaemonSet was stored: not again for each of its pods. */
const checked = { fieldValidation: 'Ignore' } as const;

interface Refusal extends Failure {
  readonly code: Reason;
}
interface Created {
  readonly failure: Refusal | undefined;
  /** What was to be made was there already: our view is late, or a former pod of that name is still on its way out. */
  readonly late: boolean;
}
/** As many pods of one node as were let go of and are still there are got past in one pass. */
const mostNames = 20;
/** Until the next look where it was. */
const lateMs = 200;

/**
 * Keeps one pod of each DaemonSet on every node that fits (F179). Writes pods, ControllerRevisions, copies of what
 * templates name, the template of a DaemonSet that is taken back, and the status of DaemonSets.
 */
export class DaemonSetController implements Controller {
  readonly name = 'daemonset-controller';
  readonly #parts: Parts;
  /** Keys whose pods this leadership has seen for sure: see `#observed`. */
  #sure = new Set<Key>();
  #leadership: AbortSignal | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async sync(key: Key, signal: AbortSignal): Promise<SyncResult | void> {
    if (signal !== this.#leadership) this.#sure = new Set();
    this.#leadership = signal;
    const set = this.#parts.sets.get(key);
    if (set === undefined || isDeleting(set)) {
      this.#parts.config.forget(key);
      return void this.#sure.delete(key); // its pods are the garbage collector's
    }
    try {
      return await this.#bring(key, set, signal);
    } catch (error) {
      this.#sure.delete(key); // what was asked for may have happened all the same
      if (hasReason(error, 'Conflict')) return { requeueAfterMs: soonMs };
      throw error;
    }
  }

  async #bring(key: Key, set: DaemonSet, signal: AbortSignal): Promise<SyncResult | void> {
    const { nodes, clock, burst, config } = this.#parts;
    await this.#adoptRevisions(set, signal);
    const history = this.#revisions(set).map(copiesOf);
    const seen = await config.read(key, set.metadata.namespace ?? '', configIn(set, history));
    const resolved = resolveConfig(set, history, seen);
    if (resolved.undone !== undefined) return this.#writeTemplate(set, resolved.undone);
    const rolled = { ...set, spec: { ...set.spec, template: resolved.template } };
    const current = await this.#keepHistory(rolled, resolved, signal);
    if (current === undefined) return { requeueAfterMs: soonMs };
    const look = { set, rolled, seen, resolved, current };
    await this.#ensure(look);
    const pods = await this.#observed(key, set);
    const observed = { nodes: nodes.list(), pods, hash: hashOfRevision(current), isRolledOut: isRolledOut(current) };
    const plan = reconcile(rolled, observed, clock.now());
    const revert = revertOf(set, this.#revisions(set), { current, failure: plan.failure, inUse: this.#inUse(set) });
    if (revert !== undefined) return this.#revert(look, revert);
    if (plan.isWhole && !isRolledOut(current) && onFailure(set) !== 'continue') await this.#noteRolledOut(current);
    if (plan.adopt.length > 0 && !(await this.#isThere(set, signal))) return { requeueAfterMs: soonMs };
    await this.#write([
      ...plan.adopt.map((pod) => adopted(set, pod)),
      ...plan.release.map((pod) => released(set, pod)),
    ]);
    const created = await this.#create(rolled, plan);
    const failure = created.failure ?? (await this.#remove(set, plan.remove));
    this.#tellHeld(set, plan.held);
    await this.#report(key, look, plan, failure);
    if (failure !== undefined) await this.#fail(set, failure);
    if (created.late) {
      this.#sure.delete(key);
      return { requeueAfterMs: lateMs };
    }
    if (plan.create.length > burst) return { requeueAfterMs: 0 };
    return plan.nextMs === undefined ? undefined : { requeueAfterMs: Math.min(plan.nextMs, 2 ** 31 - 1) };
  }

  /**
   * A view may be a moment late: to count on it after a change of leaders, or after a write whose answer was lost, might take away more
   * pods than may be missing. So the first look for a key in a leadership, and the first after a failure, is at the API itself.
   */
  async #observed(key: Key, set: DaemonSet): Promise<readonly Pod[]> {
    const { client, pods } = this.#parts;
    if (!this.#sure.has(key)) {
      const { namespace = '' } = set.metadata;
      const selector = selectorOfLabelSelector(set.spec.selector);
      const { items } = await client.list('pods', { namespace, labelSelector: formatSelector(selector) });
      const there = new Set(items.map(({ metadata }) => metadata.uid));
      for (const pod of items) pods.wrote(pod);
      for (const pod of this.#inView(set))
        if (matches(selector, pod.metadata.labels) && !there.has(pod.metadata.uid)) pods.wroteDeletion(pod);
      this.#sure.add(key);
    }
    return this.#inView(set);
  }

  #inView({ metadata }: DaemonSet): readonly Pod[] {
    const { pods } = this.#parts;
    return [...pods.by('owner', metadata.uid), ...pods.by('ownerless', metadata.namespace ?? '')];
  }

  /** The oldest first. */
  #revisions({ metadata }: DaemonSet): readonly ControllerRevision[] {
    return this.#parts.revisions
      .by('owner', metadata.uid)
      .filter((each) => !isDeleting(each))
      .sort((a, b) => a.revision - b.revision);
  }

  /** The hashes of the templates of which there are pods. */
  #inUse({ metadata }: DaemonSet): ReadonlySet<string> {
    return new Set(this.#parts.pods.by('owner', metadata.uid).map((pod) => pod.metadata.labels?.[hashLabel] ?? ''));
  }

  /** Takes those that match and have no owner, such as those that a deleted DaemonSet left behind on purpose. */
  async #adoptRevisions(set: DaemonSet, signal: AbortSignal): Promise<void> {
    const orphans = this.#parts.revisions
      .by('ownerless', set.metadata.namespace ?? '')
      .filter((each) => matches(selectorOfLabelSelector(set.spec.selector), each.metadata.labels) && !isDeleting(each));
    if (orphans.length > 0 && (await this.#isThere(set, signal)))
      for (const each of orphans) await this.#adoptRevision(set, each);
  }

  /** The revision of the newest template, `set` being as its pods are made; undefined while it is being made. */
  async #keepHistory(
    set: DaemonSet,
    { copies }: Resolved,
    signal: AbortSignal,
  ): Promise<ControllerRevision | undefined> {
    const { client, revisions } = this.#parts;
    const history = historyOf(set, this.#revisions(set), this.#inUse(set), copies);
    if (history.create !== undefined) return this.#makeRevision(set, history.create, signal);
    let { current } = history;
    if (history.write !== undefined) {
      current = await client.update('controllerrevisions', history.write);
      revisions.wrote(current);
    }
    for (const each of history.remove) {
      const { uid } = each.metadata;
      await client.delete('controllerrevisions', keyOf(each), { preconditions: { uid } }).catch(unlessGone);
      revisions.wroteDeletion(each);
    }
    return current;
  }

  /** Says so on the DaemonSet where the copies that its pods need cannot be made: then none of them is. */
  async #ensure({ set, current, resolved }: Look): Promise<void> {
    const { client, recorder, config } = this.#parts;
    try {
      await ensureCopies({ client, known: config.ensured }, current, resolved.needed);
    } catch (error) {
      if (!hasReason(error, 'Conflict'))
        recorder.event(set, 'Warning', 'ConfigCopyError', `Failed to keep a copy: ${messageOf(error)}`);
      throw error;
    }
  }

  async #noteRolledOut({ metadata, ...current }: ControllerRevision): Promise<void> {
    const { client, revisions } = this.#parts;
    const annotations = { ...metadata.annotations, [rolledOutAnnotation]: 'true' };
    revisions.wrote(await client.update('controllerrevisions', { ...current, metadata: { ...metadata, annotations } }));
  }

  /** One write changes the template and says why, so that a death in between leaves nothing half done. */
  async #revert({ set, seen }: Look, { target, mark }: Revert): Promise<SyncResult> {
    const result = await this.#writeTemplate(set, dataBackTo(generationOf(target), seen), {
      [revertedAnnotation]: JSON.stringify(mark),
    });
    const words = `Back from ${mark.from} to ${mark.to}: ${mark.cause}`;
    this.#parts.recorder.event(set, 'Warning', 'RolloutReverted', words);
    return result;
  }

  /** The DaemonSet's template, in the user's words, with the data that its pods are to have instead of what there is now. */
  async #writeTemplate(
    { metadata, ...set }: DaemonSet,
    { template, held }: { readonly template: PodTemplateSpec; readonly held: Held | undefined },
    more: Readonly<Record<string, string>> = {},
  ): Promise<SyncResult> {
    const { client, sets } = this.#parts;
    const { [heldAnnotation]: _, ...others } = metadata.annotations ?? {};
    const annotations = { ...others, ...more, ...(held && { [heldAnnotation]: JSON.stringify(held) }) };
    const spec = { ...set.spec, template };
    sets.wrote(await client.update('daemonsets', { ...set, metadata: { ...metadata, annotations }, spec }));
    return { requeueAfterMs: 0 };
  }

  /** Its name is made from the template: where our view is late, or its answer was lost, we meet it here. */
  async #makeRevision(
    set: DaemonSet,
    draft: Draft<ControllerRevision>,
    signal: AbortSignal,
  ): Promise<ControllerRevision | undefined> {
    const { client, revisions, sets } = this.#parts;
    try {
      const made = await client.create('controllerrevisions', draft);
      revisions.wrote(made);
      return made;
    } catch (error) {
      if (!hasReason(error, 'AlreadyExists')) throw error;
    }
    const key = makeKey(set.metadata.namespace, draft.metadata.name ?? '');
    const found = await client.get('controllerrevisions', key, { signal });
    if (found === undefined || isDeleting(found)) return undefined; // one of a former life, on its way out
    revisions.wrote(found);
    const owner = controllerOf(found);
    if (isOf(set, found) && (owner === undefined || owner.uid === set.metadata.uid)) return undefined; // ours, or to be adopted
    if (owner?.kind === 'DaemonSet' && owner.name === set.metadata.name && owner.uid !== set.metadata.uid)
      return undefined; // of a former life
    const asStored = sets.get(keyOf(set)) ?? set; // not with the names of copies
    const status = { ...asStored.status, collisionCount: (set.status.collisionCount ?? 0) + 1 };
    sets.wrote(await client.updateStatus('daemonsets', { ...asStored, status }));
    return undefined;
  }

  async #adoptRevision(set: DaemonSet, { metadata, ...revision }: ControllerRevision): Promise<void> {
    const { client, revisions } = this.#parts;
    const ownerReferences = [...(metadata.ownerReferences ?? []), ownerReferenceOf(set)];
    revisions.wrote(
      await client.update('controllerrevisions', { ...revision, metadata: { ...metadata, ownerReferences } }),
    );
  }

  /** Our view may be late; adopting for one that is gone would take things from its successor. */
  async #isThere(set: DaemonSet, signal: AbortSignal): Promise<boolean> {
    const now = await this.#parts.client.get('daemonsets', keyOf(set), { signal });
    return now?.metadata.uid === set.metadata.uid && !isDeleting(now);
  }

  async #write(changed: readonly Pod[]): Promise<void> {
    const { client, pods } = this.#parts;
    await eachAtMost(writesAtOnce, changed, async (pod) => {
      try {
        pods.wrote(await client.update('pods', pod));
      } catch (error) {
        unlessGone(error);
        pods.wroteDeletion(pod);
      }
    });
  }

  /** In batches of 1, 2, 4…: where the API refuses, it is asked once and not for every node. */
  async #create(set: DaemonSet, { create }: Plan): Promise<Created> {
    const { client, pods, recorder, burst } = this.#parts;
    const places = create.slice(0, burst);
    const names: string[] = [];
    let failure: Refusal | undefined;
    let late = false;
    for (let at = 0, size = 1; at < places.length && failure === undefined; at += size, size *= 2) {
      const drafts = places.slice(at, at + size).map((place) => podOf(set, place));
      for (const [i, first] of (await client.createMany('pods', drafts, checked)).entries()) {
        const place = places[at + i];
        const isTaken = !first.ok && first.reason === 'AlreadyExists' && place !== undefined;
        const outcome = isTaken ? await this.#createBeside(set, place, first) : first;
        if (outcome.ok) {
          pods.wrote(outcome.object);
          names.push(outcome.object.metadata.name);
        } else if (outcome.reason === 'AlreadyExists') late = true;
        else failure ??= failureOf('FailedCreate', outcome.reason, outcome.message);
      }
    }
    if (names.length > 0) recorder.event(set, 'Normal', 'SuccessfulCreate', told('Created', names));
    return { failure, late };
  }

  /**
   * The name of a pod is taken. By one of ours that our view does not show yet, or that goes: then there is nothing to do but to look again.
   * By one that we let go of, or that was never ours: the next name follows from that one's uid, so that all who try meet in it too.
   */
  async #createBeside(set: DaemonSet, { after, ...place }: Place, taken: Outcome<Pod>): Promise<Outcome<Pod>> {
    const { client } = this.#parts;
    let outcome = taken;
    for (let tries = 0; tries < mostNames && !outcome.ok && outcome.reason === 'AlreadyExists'; tries++) {
      const { metadata } = podOf(set, { ...place, after });
      const other = await client.get('pods', makeKey(metadata.namespace, metadata.name ?? ''));
      if (other === undefined || isDeleting(other) || controllerOf(other)?.uid === set.metadata.uid) break;
      after = `${after} ${other.metadata.uid}`;
      [outcome = taken] = await client.createMany('pods', [podOf(set, { ...place, after })], checked);
    }
    return outcome;
  }

  /** Only this very pod: its name may have passed to its successor. */
  async #remove(set: DaemonSet, doomed: readonly Pod[]): Promise<Refusal | undefined> {
    const { client, pods, recorder } = this.#parts;
    const names: string[] = [];
    let failure: Refusal | undefined;
    await eachAtMost(writesAtOnce, doomed, async (pod) => {
      const { uid } = pod.metadata;
      try {
        const last = await client.delete('pods', keyOf(pod), { preconditions: { uid } });
        if (isGone(last)) pods.wroteDeletion(last);
        else pods.wrote(last);
        names.push(pod.metadata.name);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (hasReason(error, 'NotFound', 'Conflict')) pods.wroteDeletion(pod);
        else failure ??= failureOf('FailedDelete', error.reason, error.message);
      }
    });
    if (names.length > 0) recorder.event(set, 'Normal', 'SuccessfulDelete', told('Deleted', names));
    return failure;
  }

  #tellHeld(set: DaemonSet, held: readonly Pod[]): void {
    for (const { metadata, spec, status } of held.slice(0, 10)) {
      const why = [status.reason, status.message].filter((text) => text !== undefined).join(': ') || 'Failed';
      const words = `pods fail on node ${spec.nodeName ?? ''} as soon as they are made, the next waits; the last of them, ${metadata.name}: ${why}`;
      this.#parts.recorder.event(set, 'Warning', 'FailedDaemonPod', words);
    }
  }

  async #report(key: Key, look: Look, plan: Plan, failure: Failure | undefined): Promise<void> {
    const { sets, nodes, client, clock } = this.#parts;
    const { current, resolved } = look;
    let set = sets.get(key) ?? look.set;
    if (set.metadata.generation !== look.set.metadata.generation) return; // to be looked at anew before it is told
    if (set.metadata.annotations?.[heldAnnotation] !== undefined && resolved.isHeld !== true) {
      // The same data may come again, and are tried again then.
      const { resourceVersion } = set.metadata;
      const patch = { metadata: { resourceVersion, annotations: { [heldAnnotation]: null } } };
      set = await client.patch('daemonsets', key, patch);
      sets.wrote(set);
    }
    const nowMs = clock.now();
    const observed = { nodes: nodes.list(), pods: this.#inView(set), hash: hashOfRevision(current) };
    const { sites } = reconcile(set, observed, nowMs);
    const reverted = revertedOf(set);
    const rollout = {
      failure: plan.failure,
      reverted: reverted?.to === current.metadata.name ? reverted : undefined,
      held: resolved.held,
    };
    const status = statusOf(set, sites, { failure, rollout }, nowMs);
    if (!sameStatus(set.status, status)) sets.wrote(await client.updateStatus('daemonsets', { ...set, status }));
  }

  /** Ends the pass as failed: retried by the loop, unless it is in the template that the fault lies. */
  async #fail(set: DaemonSet, failure: Refusal): Promise<void> {
    const { client, recorder } = this.#parts;
    if (failure.code === 'Forbidden' || failure.code === 'NotFound') {
      const namespace = await client.get('namespaces', set.metadata.namespace ?? '');
      if (namespace === undefined || isDeleting(namespace)) return; // all of it is on its way out
    }
    const verb = failure.reason === 'FailedCreate' ? 'creating' : 'deleting';
    recorder.event(set, 'Warning', failure.reason, `Error ${verb}: ${failure.message}`);
    if (failure.code === 'Invalid') throw new TerminalError(failure.message);
    throw new Error(`${verb} pods: ${failure.message}`);
  }
}

const failureOf = (reason: Failure['reason'], code: Reason, message: string): Refusal => ({ reason, code, message });

function unlessGone(error: unknown): void {
  if (!hasReason(error, 'NotFound')) throw error as Error;
}

/** One pod by its name; of many the first and how many there are. */
const told = (verb: string, names: readonly string[]): string =>
  names.length === 1 ? `${verb} pod: ${names[0]}` : `${verb} ${names.length} pods: ${names[0]} and others`;
