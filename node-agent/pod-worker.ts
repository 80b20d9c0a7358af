import { isDeepStrictEqual } from 'node:util';
import { withSpan, traceAnnotation } from '../lib/base/trace.ts';
import { isDeleting, isReady, isTerminal } from '../lib/api/pods.ts';
import { keyOf, type Key } from '../lib/api/keys.ts';
import type { Pod, PodStatus } from '../lib/api/objects.ts';
import { backoffMs } from '../lib/base/backoff.ts';
import { messageOf } from '../lib/base/errors.ts';
import { attemptAhead } from './ahead.ts';
import type { EndOrder } from './eviction/pod-ending.ts';
import type { PodContainer } from './labels.ts';
import { readLastWords } from './last-words.ts';
import { makeAhead, resolveAhead } from './make-ahead.ts';
import { podReference, type AgentParts } from './parts.ts';
import { perform } from './perform.ts';
import { PodMemory } from './pod-memory.ts';
import { isOfPresentSandbox, outcomeOf, type PodState, type Setback } from './plan.ts';
import { PodNews } from './pod-news.ts';
import { resumePostStart } from './post-start.ts';
import { syncProbes } from './probes/pod-probes.ts';
import { reconcile, type Action } from './reconcile.ts';
import { RuntimeError } from './runtime/runtime.ts';
import { refusedSysctl } from './security/sysctls.ts';
import { podStatus } from './status.ts';
import type { StatusEntry } from './status-writer.ts';
import { isServed } from './withdrawal/served.ts';

const retry = { firstMs: 200, maxMs: 30_000 };
/** Steps that ask nothing of the engine: a file server that is slow must hold up its own pods only. */
const ofVolumes: ReadonlySet<Action['type']> = new Set([
  'prepareVolumes',
  'updateVolumes',
  'unmountVolumes',
  'removeVolumes',
]);
/** A kill is told by the engine; should that be lost, look again after this. */
const lookAgainMs = 2_000;

/**
 * The work on one pod, one step at a time, from first sight to the last trace of it. Woken by whatever may concern it;
 * it looks at everything anew each time.
 *
 *   idle --wake--> deciding --actions--> performing --> deciding … --none--> idle (with a timer where time matters)
 */
export class PodWorker implements StatusEntry {
  readonly uid: string;
  readonly key: Key;
  readonly #parts: AgentParts;
  readonly #memory: PodMemory;
  readonly #onOver: (uid: string) => void;
  readonly #news: PodNews;
  #busy = false;
  #again = false;
  #version = 0;
  #over = false;
  /** Containers whose main process has ended, the engine not having said so yet. */
  readonly #exited = new Set<string>();
  #failures = 0;
  #admitted = false;
  #cancelTimer: (() => void) | undefined;

  constructor(parts: AgentParts, pod: Pod, onOver: (uid: string) => void) {
    this.uid = pod.metadata.uid;
    this.key = keyOf(pod);
    this.#parts = parts;
    this.#memory = new PodMemory(pod, parts);
    this.#onOver = onOver;
    this.#news = new PodNews(parts, this);
  }

  get pod(): Pod {
    return this.#memory.pod;
  }
  get containers(): Iterable<PodContainer> {
    return this.#memory.containers.values();
  }

  /**
   * Takes over what was there before the agent: what runs counts as it was, and is looked at in passing. The network was
   * complete only if a container was started in the sandbox that runs: the agent may have died half-way.
   */
  adopt(containers: readonly PodContainer[], volumesReady: boolean): void {
    for (const container of containers) this.file(container);
    this.#memory.volumesReady = volumesReady;
    const sandbox = this.#memory.sandbox();
    const running = sandbox?.is.state === 'running';
    this.#memory.attached =
      running &&
      containers.some(
        (container) =>
          container.kind !== 'sandbox' &&
          container.is.startedAtMs !== undefined &&
          isOfPresentSandbox({ sandbox }, container),
      );
    this.#memory.unverified = running;
    resumePostStart(this.#parts, this.#memory, () => {
      this.wake();
    });
  }

  /** What the API says now; undefined: it has the pod no more. */
  heard(pod: Pod | undefined): void {
    this.#noteServed(pod);
    this.#memory.heard(pod, this.#parts.clock.now());
    this.wake();
  }

  isBeingStopped(containerId: string): boolean {
    return this.#memory.stopped.has(containerId);
  }
  firstWordOf(containerId: string): boolean {
    const { deathsTold } = this.#memory;
    if (deathsTold.has(containerId)) return false;
    deathsTold.add(containerId);
    return (this.#memory.isDown = true);
  }

  /** Looked at only when it may matter: at the end, and before the labels become others. */
  #noteServed(pod: Pod | undefined): void {
    const memory = this.#memory;
    if (pod === undefined || memory.served) return;
    const relabelled = memory.pod.metadata.labels !== pod.metadata.labels && !sameLabels(memory.pod, pod);
    if (relabelled) memory.served = isServed(memory.pod, this.#parts.services);
    if (isDeleting(pod)) memory.served ||= isServed(pod, this.#parts.services);
  }

  /**
   * Ends the pod from here: its containers are stopped, then it is Failed with this reason and message, and nothing of it
   * stays on the machine; its controller replaces it. False, and nothing done, where it is ending or over already.
   */
  evict(order: EndOrder): boolean {
    const { clock, telling, metrics, statuses } = this.#parts;
    const state = this.#state();
    if (this.#over || state.gone || state.endingSinceMs !== undefined || state.ending !== undefined) return false;
    if (isTerminal(state.pod) || outcomeOf(state, clock.now()) !== undefined) return false;
    const { reason, message, disruption } = order;
    const graceMs = Math.min(order.graceMs, state.pod.spec.terminationGracePeriodSeconds * 1000);
    this.#memory.evicted = { reason, message, disruption, deadlineMs: clock.now() + graceMs };
    this.#memory.ending.abort(new Error('the pod is being evicted'));
    this.#version++;
    metrics.evictions.add(1, { reason });
    telling.event(podReference(state.pod), 'Warning', reason, message);
    statuses.put(this);
    this.wake();
    return true;
  }

  /** What the pod's volumes are filled from can be read, or has changed. */
  configChanged(): void {
    this.#memory.volumesStale = true;
    if (!this.#memory.volumesReady) this.#memory.setbacks.delete(''); // it may be what the pod has waited for
    this.wake();
  }

  /** Gives up the remains of containers that ended, for the disk that they take; false where there are none. */
  tidy(): boolean {
    const { pod, containers, volumesReady } = this.#memory;
    const all = [...containers.values()].filter(({ kind }) => kind !== 'sandbox');
    const hasRemains = isTerminal(pod)
      ? all.length > 0 || volumesReady
      : all.some(({ name, attempt, is }) => {
          const isOld = all.some((other) => other.name === name && other.attempt > attempt);
          return isOld && is.state !== 'running';
        });
    if (!hasRemains) return false;
    this.#memory.tidy = true;
    this.wake();
    return true;
  }

  /** What the engine says now of one of the pod's containers. */
  file(container: PodContainer): void {
    this.#version++;
    this.#memory.file(container);
  }
  forget(id: string): void {
    this.#version++;
    this.#memory.forget(id);
  }

  /** Changes whenever what is known of the containers does; undefined while the pod is being worked on. */
  get version(): number | undefined {
    return this.#busy ? undefined : this.#version;
  }

  /** The kernel says that the main process of one of the pod's containers has ended; how, the engine will say. */
  exited(containerId: string): void {
    this.#exited.add(containerId);
    this.wake();
  }

  wake(): void {
    if (this.#over) return;
    if (this.#busy) {
      this.#again = true;
      return;
    }
    this.#busy = true;
    this.#cancelTimer?.();
    void this.#run();
  }

  close(): void {
    this.#over = true;
    this.#cancelTimer?.();
    this.#news.close();
    for (const probes of this.#memory.probes.values()) probes.close();
  }

  // ---- StatusEntry -----------------------------------------------------------------------------

  latest(): Pod | undefined {
    return this.#memory.gone ? undefined : this.#memory.pod;
  }
  status(on: Pod): PodStatus {
    const state = this.#state();
    // An end is told with its message or not yet: this may be called between the death and the look at what it left.
    const containers = state.containers.map((each) =>
      each.is.state !== 'exited' || state.messages.has(each.is.id) ? each : stillRunning(each),
    );
    return podStatus({ ...state, containers, pod: on }, this.#parts.clock.now(), this.#parts.wall());
  }
  written(pod: Pod | undefined): void {
    if (pod === undefined) {
      this.heard(undefined);
      return;
    }
    this.#parts.pods.wrote(pod);
    if (this.#memory.isDown && isReady(pod) && !this.#memory.hasDied) {
      this.#memory.isDown = false;
      this.#parts.tellServing(pod);
    }
    if (Number(pod.metadata.resourceVersion) > Number(this.#memory.pod.metadata.resourceVersion)) this.heard(pod);
  }

  // ---- The loop --------------------------------------------------------------------------------

  async #run(): Promise<void> {
    try {
      do {
        this.#again = false;
        await this.#makeAhead();
        await this.#pass();
      } while (this.#again && !this.#isOver());
    } finally {
      this.#busy = false;
    }
  }
  #isOver(): boolean {
    return this.#over;
  }

  /** What follows a death is made while the engine tidies up after it. It is part of the work on the pod, so that nothing ends meanwhile. */
  async #makeAhead(): Promise<void> {
    const { steps, clock } = this.#parts;
    await resolveAhead(this.#parts, this.#memory).catch(() => undefined);
    if (this.#exited.size === 0 || this.#over) return;
    const state = this.#state();
    const wishes = [...this.#exited].flatMap((id) => attemptAhead(state, id, clock.now()) ?? []);
    this.#exited.clear();
    await Promise.all(wishes.map((wish) => steps.run(() => makeAhead(this.#parts, this.#memory, wish), 'begins')));
  }

  /** Decides and performs until there is nothing to do but wait. */
  async #pass(): Promise<void> {
    const { clock, statuses, signal } = this.#parts;
    this.#admit();
    while (!this.#over && !signal.aborted) {
      await readLastWords(this.#parts, this.#memory);
      const state = this.#state();
      const { actions, wakeAtMs } = reconcile(state, clock.now());
      this.#news.tell(state);
      if (actions.length === 0) {
        this.#memory.tidy = false;
        if (this.#memory.gone && this.#memory.containers.size === 0) return this.#finish();
        this.#wakeAt(wakeAtMs);
        return;
      }
      try {
        const progress = await this.#perform(actions);
        if (this.#failures > 0) this.#memory.setbacks.delete('');
        this.#failures = 0;
        this.#version++;
        if (progress) continue;
        if (!this.#memory.gone) statuses.put(this);
        this.#wakeAt(actions.some(({ type }) => type === 'kill') ? clock.now() + lookAgainMs : wakeAtMs);
        return;
      } catch (error) {
        this.#failed(error);
        return;
      }
    }
  }

  /** A new pod that this node must not run ends here: its controller hears of it, and another node may take the next. */
  #admit(): void {
    if (this.#admitted) return;
    this.#admitted = true;
    if (this.#memory.containers.size > 0) return;
    const message = refusedSysctl(this.pod, this.#parts.security.allowedSysctls);
    if (message !== undefined) this.evict({ reason: 'SysctlForbidden', message, graceMs: 0, disruption: false });
  }

  /** Starts go in the containers' order; volumes and sandbox come before, the rest runs beside. */
  async #perform(actions: readonly Action[]): Promise<boolean> {
    const inOrder = new Set<Action['type']>([
      'prepareVolumes',
      'removeSandbox',
      'startSandbox',
      'start',
      'confirmDeletion',
    ]);
    const serial = async (): Promise<boolean> => {
      let progress = false;
      for (const action of actions) if (inOrder.has(action.type)) progress = (await this.#do(action)) || progress;
      return progress;
    };
    const beside = actions.filter((action) => !inOrder.has(action.type)).map((action) => this.#do(action));
    const outcomes = await Promise.allSettled([serial(), ...beside]);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return outcomes.some((outcome) => outcome.status === 'fulfilled' && outcome.value);
  }

  #do(action: Action): Promise<boolean> {
    const { steps, tracer, metrics, clock } = this.#parts;
    const wake = (): void => {
      this.wake();
    };
    const work = async (): Promise<boolean> => {
      const beganMs = clock.monotonic();
      const traceparent = this.pod.metadata.annotations?.[traceAnnotation];
      const attributes = { 'troupe.pod': this.key, 'troupe.action': action.type };
      try {
        const progress = await withSpan(tracer, `agent.${action.type}`, { traceparent, attributes }, () =>
          perform(this.#parts, this.#memory, action, wake),
        );
        metrics.actions.add(1, { type: action.type, outcome: 'ok' });
        return progress;
      } catch (error) {
        metrics.actions.add(1, { type: action.type, outcome: 'failed' });
        throw error;
      } finally {
        metrics.actionSeconds.record((clock.monotonic() - beganMs) / 1000, { type: action.type });
      }
    };
    // Of many pods at once one after another is up, rather than all of them at the end.
    const turn = action.type === 'startSandbox' ? 'begins' : 'goesOn';
    return ofVolumes.has(action.type) ? work() : steps.run(work, turn);
  }

  #failed(error: unknown): void {
    const { clock, log, signal, telling } = this.#parts;
    if (signal.aborted) return;
    const inMs = backoffMs(this.#failures++, retry);
    const fields = { pod: this.key, uid: this.uid, error: messageOf(error), inMs: Math.round(inMs) };
    if (this.#failures === 1) log.warn(fields, 'a step for a pod failed; trying again');
    else log.debug(fields, 'a step for a pod failed again');
    if (this.#failures === 3) telling.event(podReference(this.pod), 'Warning', 'FailedSync', messageOf(error));
    const isAway = error instanceof RuntimeError && error.code === 'Unavailable';
    if (!isAway && this.#memory.endingSinceMs === undefined && !this.#news.started) {
      this.#memory.setbacks.set('', this.#setback(error, inMs));
      this.#parts.statuses.put(this);
    }
    this.#wakeAt(clock.now() + inMs);
  }

  #setback(error: unknown, inMs: number): Setback {
    const atMs = this.#parts.clock.now();
    return {
      reason: 'ContainerCreating',
      message: messageOf(error),
      failures: this.#failures,
      atMs,
      retryAtMs: atMs + inMs,
    };
  }

  #finish(): void {
    this.close();
    this.#onOver(this.uid);
  }

  #wakeAt(ms: number | undefined): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (ms === undefined || this.#over) return;
    this.#cancelTimer = this.#parts.clock.after(Math.max(0, ms - this.#parts.clock.now()), () => {
      this.wake();
    });
  }

  // ---- What is known ---------------------------------------------------------------------------

  #state(): PodState {
    const { network, node } = this.#parts;
    const at = { networkReady: network.configured, hostIp: node.hostIp };
    for (const { is } of this.#memory.containers.values())
      if (is.state === 'running' && is.pid !== undefined) this.#parts.exits?.watch(is.id, is.pid);
    syncProbes(this.#parts, this.#memory, () => {
      this.wake();
    });
    return this.#memory.state(at);
  }
}

function stillRunning(container: PodContainer): PodContainer {
  const { exitCode: _, finishedAtMs: __, error: ___, oomKilled: ____, ...is } = container.is;
  return { ...container, is: { ...is, state: 'running' } };
}

const sameLabels = (a: Pod, b: Pod): boolean => isDeepStrictEqual(a.metadata.labels, b.metadata.labels);
