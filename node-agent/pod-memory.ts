import { isDeepStrictEqual } from 'node:util';
import { isDeleting, isTerminal } from '../lib/api/pods.ts';
import type { Pod } from '../lib/api/objects.ts';
import { backoffMs } from '../lib/base/backoff.ts';
import { rememberedEnding, type PodEnding } from './eviction/pod-ending.ts';
import { isMadeAhead, type PodContainer } from './labels.ts';
import { defaultBackoff, restartDelayMs } from '../lib/api/restart-backoff.ts';
import type { PodState, Setback, StopReason } from './plan.ts';
import { tellsOfItself } from './volumes/projection.ts';
import { ageMs, steadyTimes, type TwoClocks } from './steady-time.ts';
import type { WarmSandbox } from './warm/warm-pool.ts';
import type { ContainerProbes } from './probes/container-probes.ts';

/**
 * What the agent holds in mind of one pod. After a restart of the agent it is built again from the engine, the pod's
 * folder and the API: nothing in it is the only copy of anything that matters.
 */
export class PodMemory {
  readonly uid: string;
  pod: Pod;
  gone = false;
  endingSinceMs: number | undefined;
  /** Set once, when the node decides that the pod must end. */
  evicted: PodEnding | undefined;
  tidy = false;
  /** A Service selects the pod, or did before its labels changed: traffic may be sent to it. */
  served = false;
  /** How far the way out of traffic is, once the pod has to end. */
  withdrawal: 'underWay' | 'done' | undefined;
  attached = false;
  unverified = false;
  volumesReady = false;
  volumesStale = false;
  volumesRemoved = false;
  readonly containers = new Map<string, PodContainer>();
  readonly setbacks = new Map<string, Setback>();
  readonly images = new Map<string, 'absent' | 'pulling' | 'present'>();
  readonly stopping = new Map<string, { readonly sinceMs: number; readonly deadlineMs: number }>();
  readonly stopped = new Map<string, StopReason>();
  /** Ids of containers of whose deaths others have been told ahead of the status. */
  readonly deathsTold = new Set<string>();
  /** Others were told that it is down, and not yet that it is ready again. */
  isDown = false;
  readonly hooking = new Set<string>();
  readonly removed = new Map<string, PodContainer>();
  readonly probes = new Map<string, ContainerProbes>();
  readonly messages = new Map<string, string>();
  /** Containers that were created before it was time to start them: name and attempt to id. */
  readonly created = new Map<string, string>();
  /** One that was to be made ahead may or may not be there: the engine did not answer. */
  aheadInDoubt = false;
  /** A sandbox made in advance that may or may not have become this pod's: the engine did not answer. */
  inDoubt: WarmSandbox | undefined;

  /** Aborted when the pod must end: what was only for its start is given up. */
  readonly ending = new AbortController();

  readonly #clocks: TwoClocks;
  /** When the pod started, by the steady clock. */
  #started: { readonly stamp: string; readonly atMs: number } | undefined;

  constructor(pod: Pod, clocks: TwoClocks) {
    this.uid = pod.metadata.uid;
    this.pod = pod;
    this.#clocks = clocks;
    if (!isTerminal(pod)) this.evicted = rememberedEnding(pod, clocks.clock.now());
    this.#noteStart();
  }

  #noteStart(): void {
    const stamp = this.pod.status.startTime;
    if (stamp === undefined || stamp === this.#started?.stamp) return;
    this.#started = { stamp, atMs: this.#clocks.clock.now() - ageMs(this.#clocks, Date.parse(stamp)) };
  }

  /** Takes over what the API says; undefined: it has the pod no more. */
  heard(pod: Pod | undefined, nowMs: number): void {
    if (pod === undefined) this.gone = true;
    else {
      if (tellsOfItself(pod) && !isDeepStrictEqual(tagsOf(pod), tagsOf(this.pod))) this.volumesStale = true;
      this.#replace(pod);
    }
    if (!this.gone && !isDeleting(this.pod)) return;
    this.endingSinceMs ??= nowMs;
    this.ending.abort(new Error('the pod is being deleted'));
  }

  /** Another image is another chance: what went wrong with the old one does not hold the new one up. */
  #replace(pod: Pod): void {
    for (const field of ['containers', 'initContainers'] as const) {
      for (const { name, image } of pod.spec[field] ?? []) {
        const before = this.pod.spec[field]?.find((container) => container.name === name);
        if (before === undefined || before.image === image) continue;
        this.setbacks.delete(name);
        this.images.delete(name);
      }
    }
    this.pod = pod;
    this.#noteStart();
  }

  /** The newest sandbox. */
  sandbox(): PodContainer | undefined {
    return [...this.containers.values()]
      .filter((container) => container.kind === 'sandbox')
      .toSorted((a, b) => b.attempt - a.attempt)[0];
  }

  file(container: PodContainer): void {
    const at = steadyTimes(container, this.containers.get(container.is.id), this.#clocks);
    this.containers.set(container.is.id, { ...container, at });
    if (container.kind === 'sandbox' && container.is.state === 'exited') this.attached = false;
  }

  /** Its end is still to be told when its last trace is gone. */
  removing(container: PodContainer): void {
    const before = this.removed.get(container.name);
    if (this.endingSinceMs === undefined || (before?.attempt ?? -1) > container.attempt) return;
    this.removed.set(container.name, container);
  }

  /** Whether one of the containers that count now is known to have died, filed as ended or not. */
  get hasDied(): boolean {
    const newest = new Map<string, PodContainer>();
    for (const each of this.containers.values()) {
      if (isMadeAhead(each)) continue;
      const key = `${each.kind}/${each.name}`;
      if ((newest.get(key)?.attempt ?? -1) < each.attempt) newest.set(key, each);
    }
    return [...newest.values()].some(({ is }) => this.deathsTold.has(is.id));
  }

  forget(id: string): void {
    this.containers.delete(id);
    for (const [name, created] of this.created) if (created === id) this.created.delete(name);
    if (this.endingSinceMs === undefined) this.messages.delete(id);
    this.stopping.delete(id);
    this.stopped.delete(id);
    this.deathsTold.delete(id);
    this.hooking.delete(id);
    this.probes.get(id)?.close();
    this.probes.delete(id);
  }

  failed(name: string, failure: { readonly reason: string; readonly message: string; readonly atMs: number }): Setback {
    const failures = (this.setbacks.get(name)?.failures ?? 0) + 1;
    // What an image lacks takes people to mend; what a configuration lacks is often created a moment later.
    const delayMs =
      failure.reason === 'ErrImagePull'
        ? restartDelayMs(defaultBackoff, failures)
        : backoffMs(failures - 1, { firstMs: 1_000, maxMs: 60_000, jitter: 0 });
    const setback = { ...failure, failures, retryAtMs: failure.atMs + delayMs };
    this.setbacks.set(name, setback);
    return setback;
  }

  /** Everything as plain data, for decisions. */
  state(at: { readonly networkReady: boolean; readonly hostIp: string }): PodState {
    const all = [...this.containers.values()].sort((a, b) => b.attempt - a.attempt);
    const sandboxes = all.filter((container) => container.kind === 'sandbox');
    const onHost = this.pod.spec.hostNetwork === true;
    return {
      pod: this.pod,
      ...(this.#started === undefined ? {} : { startedMs: this.#started.atMs }),
      gone: this.gone,
      endingSinceMs: this.endingSinceMs,
      ending: this.evicted,
      tidy: this.tidy,
      served: this.served,
      withdrawal: this.withdrawal,
      sandbox: sandboxes[0],
      oldSandboxes: sandboxes.slice(1),
      containers: all.filter((container) => container.kind !== 'sandbox' && !isMadeAhead(container)),
      ahead: all.filter(isMadeAhead),
      networkReady: onHost || at.networkReady,
      attached: onHost || this.attached,
      unverified: !onHost && this.unverified,
      volumesReady: this.endingSinceMs === undefined ? this.volumesReady : !this.volumesRemoved,
      volumesStale: this.volumesStale,
      setbacks: this.setbacks,
      images: this.images,
      stopping: this.stopping,
      stopped: this.stopped,
      hooking: this.hooking,
      removed: this.removed,
      probes: new Map([...this.probes].map(([id, probes]) => [id, probes.verdict])),
      messages: this.messages,
      hostIp: at.hostIp,
    };
  }
}

const tagsOf = ({ metadata }: Pod): readonly unknown[] => [metadata.labels, metadata.annotations];
