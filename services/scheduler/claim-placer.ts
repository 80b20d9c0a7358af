import { hasReason, messageOf } from '../../lib/base/errors.ts';
import type { Clock } from '../../lib/base/clock.ts';
import type { Log } from '../../lib/base/log.ts';
import { keyOf, type Key } from '../../lib/api/keys.ts';
import type { PersistentVolumeClaim } from '../../lib/api/objects.ts';
import { selectedNodeAnnotation } from '../../lib/api/storage.ts';
import type { Client } from '../../lib/client/client.ts';
import type { View } from '../../lib/view/view.ts';
import { Awaiting, outlook } from './awaiting.ts';
import type { Cluster } from '../../lib/placing/cluster.ts';
import type { Placement, Refusal } from './schedule.ts';

interface Parts {
  readonly claims: View<PersistentVolumeClaim>;
  readonly client: Pick<Client, 'update'>;
  readonly clock: Clock;
  readonly log: Log;
}
/** What becomes of a pod that was given here. Exactly one of the first two is called, unless it is forgotten. */
interface Outcomes {
  /** Its disks are where it goes: bind it. */
  ready(placement: Placement): void;
  /** Choose a node anew; it is still counted where it was to go. */
  failed(key: Key): void;
  /** It has waited so long that people should hear of it. */
  slow(refusal: Refusal): void;
}

/** A disk is made in some 50 ms; longer is worth a word. */
const slowMs = 2_000;

/**
 * Keeps pods that have a node and whose claims get their disks there: tells the claims the node, and hands each pod on as soon as all its
 * claims are bound. Until then the pod counts on its node, so that nobody takes its room. Writes the annotation of claims.
 */
export class ClaimPlacer {
  readonly #parts: Parts;
  readonly #cluster: Cluster;
  readonly #outcomes: Outcomes;
  readonly #awaiting = new Awaiting();
  /** Whose claims are being told their node just now: not to be judged in the middle. */
  readonly #placing = new Set<Placement>();

  constructor(parts: Parts, cluster: Cluster, outcomes: Outcomes) {
    this.#parts = parts;
    this.#cluster = cluster;
    this.#outcomes = outcomes;
  }

  /** The placement is assumed in the cluster already. Never rejects. */
  async place(placement: Placement): Promise<void> {
    const { claims, client, clock, log } = this.#parts;
    const { ask, nodeName } = placement;
    this.#awaiting.add(placement);
    this.#placing.add(placement);
    clock.after(slowMs, () => {
      this.#tellSlow(placement);
    });
    try {
      for (const { claim } of ask.disks?.toPlace ?? []) {
        const present = claims.get(keyOf(claim));
        if (present === undefined || present.metadata.annotations?.[selectedNodeAnnotation] === nodeName) continue;
        claims.wrote(await client.update('persistentvolumeclaims', placedOn(present, nodeName)));
      }
    } catch (error) {
      if (!hasReason(error, 'Conflict', 'NotFound'))
        log.warn({ pod: ask.key, node: nodeName, error: messageOf(error) }, 'a claim could not be told its node');
      return this.#fail(placement);
    } finally {
      this.#placing.delete(placement);
    }
    this.#look(placement);
  }

  claimChanged(claim: Key): void {
    for (const placement of this.#awaiting.of(claim)) this.#look(placement);
  }
  /** A node that is gone or not ready makes no disk. */
  nodeChanged(name: string): void {
    if (this.#cluster.node(name)?.ready === true) return;
    for (const placement of this.#awaiting.on(name)) this.#fail(placement);
  }
  forget(key: Key): void {
    this.#awaiting.remove(key);
  }
  /** Another process goes on with all of them. */
  giveUp(): void {
    for (const { ask } of this.#awaiting.clear()) this.#outcomes.failed(ask.key);
  }

  #look(placement: Placement): void {
    const { ask, nodeName } = placement;
    if (this.#awaiting.get(ask.key) !== placement || this.#placing.has(placement)) return;
    const node = this.#cluster.node(nodeName);
    const disks = this.#cluster.disks(ask.claimKeys);
    const now = node === undefined || disks === undefined ? 'chooseAnew' : outlook(node, disks);
    if (now === 'wait') return;
    if (now === 'chooseAnew') return this.#fail(placement);
    this.#awaiting.remove(ask.key);
    this.#outcomes.ready(placement);
  }

  #fail(placement: Placement): void {
    const { key } = placement.ask;
    if (this.#awaiting.get(key) !== placement) return;
    this.#awaiting.remove(key);
    this.#outcomes.failed(key);
  }

  #tellSlow(placement: Placement): void {
    const { ask, nodeName } = placement;
    if (this.#awaiting.get(ask.key) !== placement) return;
    const names = (ask.disks?.toPlace ?? []).map(({ claim }) => `"${claim.metadata.name}"`).join(', ');
    const message = `waiting for node "${nodeName}" to make the disk of persistentvolumeclaim ${names}`;
    this.#outcomes.slow({ pod: ask.pod, message });
  }
}

const placedOn = (claim: PersistentVolumeClaim, nodeName: string): PersistentVolumeClaim => ({
  ...claim,
  metadata: { ...claim.metadata, annotations: { ...claim.metadata.annotations, [selectedNodeAnnotation]: nodeName } },
});
