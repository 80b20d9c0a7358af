import { withSpan, traceAnnotation } from '../lib/base/trace.ts';
import { isTerminal } from '../lib/api/pods.ts';
import { keyOf, type Key } from '../lib/api/keys.ts';
import type { Pod, PodStatus } from '../lib/api/objects.ts';
import { backoffMs } from '../lib/base/backoff.ts';
import { messageOf } from '../lib/base/errors.ts';
import type { EndOrder } from './eviction/pod-ending.ts';
import type { PodContainer } from './labels.ts';
import { podReference, type AgentParts } from './parts.ts';
import { perform } from './perform.ts';
import { PodMemory } from './pod-memory.ts';
import {
  isOfPresentSandbox,
  knownStatus,
  outcomeOf,
  planContainer,
  setbackTurnsAt,
  type PodState,
  type Setback,
} from './plan.ts';
import { resumePostStart } from './post-start.ts';
import { ContainerProbes, hasProbes } from './probes/container-probes.ts';
import { reconcile, type Action } from './reconcile.ts';
import { RuntimeError } from './runtime/runtime.ts';
import { refusedSysctl } from './security/sysctls.ts';
import { podStatus } from './status.ts';
import type { StatusEntry } from './status-writer.ts';

/** How long the first status may wait for the pod to be running, which is then the one to tell. */
const firstStatusMs = 300;
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
const logTailBytes = 2048;

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
  readonly #firstSeenMs: number;
  #busy = false;
  #again = false;
  #version = 0;
  #over = false;
  #failures = 0;
  #started = false;
  #admitted = false;
  #cancelTimer: (() => void) | undefined;
  #cancelFirst: (() => void) | undefined;
  #toldFirst = false;
  readonly #told = new Set<string>();

  constructor(parts: AgentParts, pod: Pod, onOver: (uid: string) => void) {
    this.uid = pod.metadata.uid;
    this.key = keyOf(pod);
    this.#parts = parts;
    this.#memory = new PodMemory(pod, parts);
    this.#onOver = onOver;
    this.#firstSeenMs = parts.clock.monotonic();
    this.#started = pod.status.phase !== undefined && pod.status.phase !== 'Pending';
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
    this.#memory.heard(pod, this.#parts.clock.now());
    this.wake();
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
    this.#cancelFirst?.();
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
    if (Number(pod.metadata.resourceVersion) > Number(this.#memory.pod.metadata.resourceVersion)) this.heard(pod);
  }

  // ---- The loop --------------------------------------------------------------------------------

  async #run(): Promise<void> {
    try {
      do {
        this.#again = false;
        await this.#pass();
      } while (this.#again && !this.#isOver());
    } finally {
      this.#busy = false;
    }
  }
  #isOver(): boolean {
    return this.#over;
  }

  /** Decides and performs until there is nothing to do but wait. */
  async #pass(): Promise<void> {
    const { clock, statuses, signal } = this.#parts;
    this.#admit();
    while (!this.#over && !signal.aborted) {
      await this.#readMessages();
      const state = this.#state();
      const { actions, wakeAtMs } = reconcile(state, clock.now());
      this.#tellBackOffs(state);
      if (!this.#memory.gone) this.#tellStatus(state);
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
    if (!isAway && this.#memory.endingSinceMs === undefined && !this.#started) {
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
    this.#syncProbes();
    return this.#memory.state(at);
  }

  /** A container that runs is probed, from the moment it is known to run: it is never ready by default. */
  #syncProbes(): void {
    const { clock, check, telling, metrics } = this.#parts;
    const memory = this.#memory;
    const ip = memory.pod.spec.hostNetwork === true ? this.#parts.node.hostIp : (memory.sandbox()?.ip ?? '');
    for (const { is, name, at } of memory.containers.values()) {
      if (is.state !== 'running' || memory.endingSinceMs !== undefined) {
        memory.probes.get(is.id)?.close();
        memory.probes.delete(is.id);
        continue;
      }
      if (memory.probes.has(is.id) || memory.hooking.has(is.id)) continue;
      const spec = [...memory.pod.spec.containers, ...(memory.pod.spec.initContainers ?? [])].find(
        (c) => c.name === name,
      );
      if (spec === undefined || !hasProbes(spec)) continue;
      const known = knownStatus(memory.pod, name);
      const before = known?.containerID === `docker://${is.id}` ? known : undefined;
      const probes = new ContainerProbes({
        target: { containerId: is.id, container: spec, podIp: ip },
        startedAtMs: at?.startedMs ?? clock.now(),
        known: { started: before?.started ?? false, ready: before?.ready ?? false },
        check,
        clock,
        onVerdict: () => {
          this.wake();
        },
        onFailure: (kind, outcome) => {
          metrics.probeFailures.add(1, { kind });
          telling.event(
            podReference(memory.pod, name),
            'Warning',
            'Unhealthy',
            `${kind} probe failed: ${outcome.message}`,
          );
        },
      });
      memory.probes.set(is.id, probes);
    }
  }

  /** What a container left when it ended belongs into its status. */
  async #readMessages(): Promise<void> {
    const { containers, messages, pod, uid } = this.#memory;
    for (const { is, kind, name, attempt } of containers.values()) {
      if (kind === 'sandbox' || is.state !== 'exited' || messages.has(is.id)) continue;
      let message = await this.#parts.storage.message(uid, name, attempt);
      const spec = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].find((c) => c.name === name);
      const wantsLogs = spec?.terminationMessagePolicy === 'FallbackToLogsOnError' && is.exitCode !== 0;
      if (message === '' && wantsLogs) message = await this.#lastLines(is.id).catch(() => '');
      messages.set(is.id, message);
    }
  }

  async #lastLines(id: string): Promise<string> {
    const stop = AbortSignal.any([this.#parts.signal, AbortSignal.timeout(2_000)]);
    let tail = Buffer.alloc(0);
    for await (const part of this.#parts.runtime.logs(id, { tailLines: 80 }, stop)) {
      tail = Buffer.concat([tail, part]).subarray(-logTailBytes);
    }
    return tail.toString('utf8').replace(/^\uFFFD+/, ''); // what the cut has left of a character
  }

  // ---- What is told ----------------------------------------------------------------------------

  /**
   * A change is written at once. The one exception is a pod that is just being started and has nothing to tell: it waits a moment,
   * since "running" comes soon and says more.
   */
  #tellStatus(state: PodState): void {
    const { clock, statuses, metrics } = this.#parts;
    if (this.#isStarting(state)) {
      if (this.#toldFirst) return statuses.put(this);
      this.#cancelFirst ??= clock.after(firstStatusMs, () => {
        this.#toldFirst = true;
        if (!this.#memory.gone) statuses.put(this);
      });
      return;
    }
    if (!this.#started && !isTerminal(state.pod)) {
      this.#started = true;
      metrics.podStartSeconds.record((clock.monotonic() - this.#firstSeenMs) / 1000);
    }
    this.#cancelFirst?.();
    statuses.put(this);
  }

  #isStarting(state: PodState): boolean {
    if (this.#started || state.endingSinceMs !== undefined || state.ending !== undefined) return false;
    if (isTerminal(state.pod) || state.setbacks.size > 0) return false;
    const names = new Set(state.containers.filter((c) => c.is.startedAtMs !== undefined).map((c) => c.name));
    const crashed = state.containers.some(
      (c) => c.is.error !== undefined || (c.is.state === 'exited' && c.is.exitCode !== 0),
    );
    return !crashed && !state.pod.spec.containers.every((container) => names.has(container.name));
  }

  #tellBackOffs(state: PodState): void {
    if (state.endingSinceMs !== undefined || state.ending !== undefined || isTerminal(state.pod)) return;
    const nowMs = this.#parts.clock.now();
    for (const container of [...(state.pod.spec.initContainers ?? []), ...state.pod.spec.containers]) {
      const plan = planContainer(state, container, nowMs);
      if (plan.step === 'backOff' && plan.crashed) {
        const { attempt } = plan.current;
        this.#tellOnce(
          `${container.name}/${attempt}`,
          container.name,
          `Back-off restarting failed container ${container.name} in pod ${this.key}`,
        );
      } else if (
        plan.step === 'setback' &&
        plan.setback.reason === 'ErrImagePull' &&
        nowMs >= setbackTurnsAt(plan.setback)
      ) {
        this.#tellOnce(
          `${container.name}/pull/${plan.setback.failures}`,
          container.name,
          `Back-off pulling image "${container.image}"`,
        );
      }
    }
  }

  #tellOnce(what: string, container: string, message: string): void {
    if (this.#told.has(what)) return;
    if (this.#told.size > 100) this.#told.clear(); // the recorder counts repetitions up; this only keeps it quiet
    this.#told.add(what);
    this.#parts.telling.event(podReference(this.pod, container), 'Warning', 'BackOff', message);
  }
}

function stillRunning(container: PodContainer): PodContainer {
  const { exitCode: _, finishedAtMs: __, error: ___, oomKilled: ____, ...is } = container.is;
  return { ...container, is: { ...is, state: 'running' } };
}
