import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Pod } from '../../../lib/api/objects.ts';
import { validateStatusUpdate } from '../../../lib/api/validation/index.ts';
import type { PodContainer } from '../../../node-agent/labels.ts';
import type { PodState } from '../../../node-agent/plan.ts';
import { reconcile, type Action } from '../../../node-agent/reconcile.ts';
import { podStatus } from '../../../node-agent/status.ts';
import type { RuntimeContainer } from '../../../node-agent/runtime/runtime.ts';
import { aContainer, aPod, epochMs } from '../../support/builders.ts';
import { a, decided, state } from './pod-states.ts';

describe('node-agent/reconcile: rest', () => {
  it('brings a pod from any start to what was asked for, and then rests', () => {
    const states = fc.constantFrom<'none' | RuntimeContainer['state']>('none', 'created', 'running', 'exited');
    const attempts = fc.tuple(fc.constantFrom('one', 'two', 'first', 'side'), fc.nat(4), states, fc.nat(2));
    const start = fc.record({
      containers: fc.array(attempts, { maxLength: 8 }),
      sandbox: states,
      attached: fc.boolean(),
      volumesReady: fc.boolean(),
      volumesStale: fc.boolean(),
      ending: fc.constantFrom('no', 'deleted', 'gone'),
      policy: fc.constantFrom<Pod['spec']['restartPolicy']>('Always', 'OnFailure', 'Never'),
      /** What befalls the containers while the pod lives: who ends in which turn, and how. */
      /** What was made ahead: of which container, its attempt, and how many crashes were thought to come before it. */
      ahead: fc.array(fc.tuple(fc.constantFrom('one', 'two', 'side'), fc.nat(5), fc.nat(2)), { maxLength: 2 }),
      ends: fc.array(fc.tuple(fc.nat(20), fc.constantFrom('one', 'two', 'side', 'first'), fc.nat(2)), { maxLength: 6 }),
    });
    fc.assert(
      fc.property(start, (given) => {
        const world = new World(given);
        for (let round = 0; round < 60 && !world.rests(); round++) world.turn();
        assert.ok(world.rests(), `it does not rest: ${world.decided().join(', ')}`);
        world.check();
      }),
      { numRuns: 500 },
    );
  });
});

const isInit = (name: string): boolean => name === 'first' || name === 'side';

/** A machine that does what it is told, for the property. */
class World {
  readonly #ending: 'no' | 'deleted' | 'gone';
  #state: PodState;
  #nowMs = epochMs;
  #turns = 0;
  readonly #ends: readonly (readonly [number, string, number])[];

  constructor(given: {
    containers: readonly (readonly [string, number, 'none' | RuntimeContainer['state'], number])[];
    sandbox: 'none' | RuntimeContainer['state'];
    attached: boolean;
    volumesReady: boolean;
    volumesStale: boolean;
    ending: 'no' | 'deleted' | 'gone';
    policy: Pod['spec']['restartPolicy'];
    ends: readonly (readonly [number, string, number])[];
    ahead: readonly (readonly [string, number, number])[];
  }) {
    this.#ending = given.ending;
    this.#ends = given.ends;
    const seen = new Set<string>();
    const containers = given.containers.flatMap(([name, attempt, is, exitCode]) => {
      if (is === 'none' || seen.has(`${name}${attempt}`)) return [];
      seen.add(`${name}${attempt}`);
      return [
        a({
          kind: isInit(name) ? 'init' : 'container',
          name,
          attempt,
          is: { state: is, ...(is === 'exited' ? { exitCode } : {}) },
        }),
      ];
    });
    const ahead = given.ahead.flatMap(([name, attempt, crashes]) => {
      if (seen.has(`${name}${attempt}`)) return [];
      seen.add(`${name}${attempt}`);
      const kind = isInit(name) ? ('init' as const) : ('container' as const);
      return [a({ kind, name, attempt, crashes, ahead: true, is: { state: 'created' } })];
    });
    const pod = aPod({
      nodeName: 'n1',
      phase: 'Pending',
      deleted: given.ending !== 'no',
      spec: {
        restartPolicy: given.policy,
        initContainers: [aContainer({ name: 'first' }), aContainer({ name: 'side', restartPolicy: 'Always' })],
        containers: [aContainer({ name: 'one' }), aContainer({ name: 'two', imagePullPolicy: 'Always' })],
      },
    });
    this.#state = state({
      pod,
      gone: given.ending === 'gone',
      endingSinceMs: given.ending === 'no' ? undefined : epochMs,
      sandbox: given.sandbox === 'none' ? undefined : a({ kind: 'sandbox', is: { state: given.sandbox } }),
      attached: given.attached && given.sandbox === 'running',
      volumesReady: given.volumesReady,
      volumesStale: given.volumesStale,
      containers: containers.toSorted((x, y) => y.attempt - x.attempt),
      ahead,
    });
  }

  decided(): readonly string[] {
    return decided(this.#state, this.#nowMs);
  }
  rests(): boolean {
    const { actions, wakeAtMs } = reconcile(this.#state, this.#nowMs);
    return actions.length === 0 && wakeAtMs === undefined && this.#working() === undefined;
  }
  /** An init container that runs, and will end its work. */
  #working(): PodContainer | undefined {
    return this.#state.containers.find((container) => container.name === 'first' && container.is.state === 'running');
  }

  turn(): void {
    for (const [turn, name, exitCode] of this.#ends) {
      const victim = this.#state.containers.find((c) => c.name === name && c.is.state === 'running');
      if (turn === this.#turns && victim !== undefined)
        this.#replace(victim, { state: 'exited', exitCode, finishedAtMs: this.#nowMs });
    }
    this.#turns++;
    this.#tell();
    const { actions, wakeAtMs } = reconcile(this.#state, this.#nowMs);
    for (const action of actions) this.#do(action);
    if (actions.length > 0) return;
    const working = this.#working();
    if (working !== undefined) this.#replace(working, { state: 'exited', exitCode: 0, finishedAtMs: this.#nowMs });
    else if (wakeAtMs !== undefined) this.#nowMs = Math.max(this.#nowMs, wakeAtMs);
  }

  /** The API takes the status over: a phase leads on, never back, and nothing runs in one that is final (F56). */
  #tell(): void {
    const before = this.#state.pod;
    if (this.#state.gone) return;
    const status = podStatus(this.#state, this.#nowMs);
    const order = ['Pending', 'Running', 'Succeeded', 'Failed'];
    const [from, to] = [before.status.phase ?? 'Pending', status.phase ?? ''];
    const isFinal = from === 'Succeeded' || from === 'Failed';
    assert.ok(isFinal ? to === from : order.indexOf(to) >= order.indexOf(from), `${from} -> ${to}`);
    if (to === 'Succeeded' || to === 'Failed')
      assert.ok(!this.#state.containers.some((c) => c.is.state === 'running'), `${to} while something runs`);
    const causes = validateStatusUpdate('pods', { ...before, status }, before);
    assert.deepEqual(causes, [], 'a status that the API takes');
    this.#state = { ...this.#state, pod: { ...before, status } };
  }

  #replace(container: PodContainer, is: Partial<RuntimeContainer>): void {
    const containers = this.#state.containers.map((c) => (c === container ? { ...c, is: { ...c.is, ...is } } : c));
    this.#state = { ...this.#state, containers };
  }

  #do(action: Action): void {
    const now = this.#state;
    const created = { createdAtMs: this.#nowMs, startedAtMs: this.#nowMs };
    switch (action.type) {
      case 'prepareVolumes':
        this.#state = { ...now, volumesReady: true, volumesStale: false };
        return;
      case 'updateVolumes':
        this.#state = { ...now, volumesStale: false };
        return;
      case 'startSandbox':
        this.#state = { ...now, sandbox: a({ kind: 'sandbox', attempt: action.attempt, is: created }), attached: true };
        return;
      case 'attachNetwork':
        this.#state = { ...now, attached: true, unverified: false };
        return;
      case 'removeSandbox':
        this.#state = { ...now, sandbox: undefined, attached: false };
        return;
      case 'pull':
        this.#state = { ...now, images: new Map([...now.images, [action.container.name, 'present']]) };
        return;
      case 'start': {
        const { name } = action.container;
        // Whoever is started runs on, but an init container does its work.
        const is = name === 'first' ? { state: 'exited' as const, exitCode: 0, finishedAtMs: this.#nowMs } : {};
        const made = a({
          kind: action.kind,
          name,
          attempt: action.attempt,
          crashes: action.crashes,
          is: { ...created, ...is },
        });
        const others = now.containers.filter((c) => c.name !== name || c.attempt !== action.attempt);
        assert.ok(
          !others.some((c) => c.name === name && c.is.state === 'running'),
          'never two of one container at once',
        );
        assert.equal(now.sandbox?.is.state, 'running', 'never without a sandbox');
        const ahead = now.ahead?.filter((c) => c.name === name && c.attempt === action.attempt) ?? [];
        for (const each of ahead) assert.equal(each.crashes, action.crashes, 'what was made ahead says what is so');
        this.#state = {
          ...now,
          containers: [made, ...others].toSorted((x, y) => y.attempt - x.attempt),
          ahead: now.ahead?.filter((c) => !ahead.includes(c)) ?? [],
        };
        return;
      }
      case 'withdraw':
        this.#state = { ...now, withdrawal: 'done' };
        return;
      case 'stop':
      case 'kill':
        this.#replace(action.container, { state: 'exited', exitCode: 143, finishedAtMs: this.#nowMs });
        return;
      case 'remove':
        assert.notEqual(action.container.is.state, 'running');
        if (this.#ending !== 'no')
          this.#state = { ...now, removed: new Map([...now.removed, [action.container.name, action.container]]) };
        this.#state = {
          ...this.#state,
          containers: now.containers.filter((c) => c !== action.container),
          ahead: now.ahead?.filter((c) => c !== action.container) ?? [],
        };
        return;
      case 'removeVolumes':
      case 'unmountVolumes':
        this.#state = { ...now, volumesReady: false };
        return;
      case 'confirmDeletion':
        assert.equal(now.containers.length + (now.ahead?.length ?? 0), 0);
        assert.equal(now.sandbox, undefined);
        this.#state = { ...now, gone: true };
        return;
    }
  }

  /** What must be so in the end. */
  check(): void {
    const { containers, sandbox, pod, ahead = [] } = this.#state;
    const running = new Set(containers.filter((c) => c.is.state === 'running').map((c) => c.name));
    if (this.#ending !== 'no') {
      assert.deepEqual([containers.length + ahead.length, sandbox, this.#state.gone], [0, undefined, true]);
      return;
    }
    for (const { name, attempt } of ahead)
      assert.ok(
        containers.some((c) => c.name === name && c.attempt === attempt - 1 && c.is.state === 'running'),
        `${name}#${attempt} waits for nothing`,
      );
    const status = podStatus(this.#state, this.#nowMs);
    if (pod.spec.restartPolicy === 'Always') {
      assert.deepEqual([...running].sort(), ['one', 'side', 'two']);
      assert.equal(status.phase, 'Running');
    } else if (status.phase === 'Succeeded' || status.phase === 'Failed') {
      assert.deepEqual([running.size, sandbox], [0, undefined]);
    } else assert.ok(running.size > 0);
  }
}
