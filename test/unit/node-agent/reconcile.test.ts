import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { ContainerState, ContainerStatus, Pod, PodSpec } from '../../../lib/api/objects.ts';
import { validateStatusUpdate } from '../../../lib/api/validation/index.ts';
import type { ContainerKind, PodContainer } from '../../../node-agent/labels.ts';
import type { PodState, StopReason } from '../../../node-agent/plan.ts';
import { reconcile, type Action } from '../../../node-agent/reconcile.ts';
import { podStatus } from '../../../node-agent/status.ts';
import type { RuntimeContainer } from '../../../node-agent/runtime/runtime.ts';
import { aContainer, aPod, epochMs } from '../../support/builders.ts';

interface ContainerWish {
  readonly kind?: ContainerKind;
  readonly name?: string;
  readonly attempt?: number;
  readonly crashes?: number;
  readonly is?: Partial<RuntimeContainer>;
}
let born = 0;
function a(wish: ContainerWish = {}): PodContainer {
  const name = wish.kind === 'sandbox' ? '' : (wish.name ?? 'main');
  const attempt = wish.attempt ?? 0;
  const state = wish.is?.state ?? 'running';
  return {
    ...{
      kind: wish.kind ?? 'container',
      uid: 'u',
      namespace: 'default',
      podName: 'web-1',
      name,
      attempt,
      crashes: wish.crashes ?? 0,
    },
    ip: wish.kind === 'sandbox' ? '10.244.0.5' : undefined,
    is: {
      ...{
        id: `${name}-${attempt}-${born++}`,
        name: `${name}_${attempt}`,
        image: 'example/web:1',
        imageId: 'sha256:1',
        labels: {},
        state,
      },
      createdAtMs: epochMs,
      ...(state === 'created' ? {} : { startedAtMs: epochMs }),
      ...(state === 'exited' ? { exitCode: 1, finishedAtMs: epochMs } : {}),
      ...wish.is,
    },
  };
}

function state(over: Partial<PodState> & { readonly spec?: Partial<PodSpec> } = {}): PodState {
  const { spec, ...rest } = over;
  return {
    pod: aPod({ nodeName: 'n1', phase: 'Pending', ...(spec === undefined ? {} : { spec }) }),
    gone: false,
    endingSinceMs: undefined,
    sandbox: a({ kind: 'sandbox' }),
    oldSandboxes: [],
    containers: [],
    networkReady: true,
    attached: true,
    unverified: false,
    volumesReady: true,
    setbacks: new Map(),
    images: new Map(),
    stopping: new Map(),
    stopped: new Map(),
    hooking: new Set(),
    removed: new Map(),
    probes: new Map(),
    messages: new Map(),
    hostIp: '192.0.2.10',
    ...rest,
  };
}

const knownAs = (is: ContainerState): ContainerStatus => ({
  ...{ name: 'main', ready: true, restartCount: 2, image: 'example/web:1', imageID: 'x', containerID: 'docker://gone' },
  state: is,
});

const brief = (action: Action): string => {
  switch (action.type) {
    case 'start':
      return `start ${action.container.name}#${action.attempt}`;
    case 'pull':
      return `pull ${action.container.name}`;
    case 'stop':
      return `stop ${action.container.name} ${action.why}`;
    case 'kill':
    case 'remove':
      return `${action.type} ${action.container.name}#${action.container.attempt}`;
    case 'prepareVolumes':
    case 'updateVolumes':
    case 'startSandbox':
    case 'attachNetwork':
    case 'removeSandbox':
    case 'removeVolumes':
    case 'unmountVolumes':
    case 'confirmDeletion':
      return action.type;
  }
};
const decided = (given: PodState, nowMs = epochMs): readonly string[] => reconcile(given, nowMs).actions.map(brief);

describe('node-agent/reconcile', () => {
  const deleted = { endingSinceMs: epochMs, pod: aPod({ deleted: true, nodeName: 'n1' }) };
  const exited = (over: Partial<RuntimeContainer> = {}): Partial<RuntimeContainer> => ({ state: 'exited', ...over });
  const cases: readonly { it: string; given: PodState; want: readonly string[]; atMs?: number }[] = [
    {
      it: 'brings files up to date where what fills them has changed, and disturbs nobody',
      given: state({ volumesStale: true, containers: [a({ name: 'main' })] }),
      want: ['updateVolumes'],
    },
    {
      it: 'makes volumes that are not there instead of bringing them up to date',
      given: state({ volumesStale: true, volumesReady: false, containers: [a({ name: 'main' })] }),
      want: ['prepareVolumes'],
    },
    {
      it: 'gives back the memory and the file servers of a pod that has ended by itself, once',
      given: state({
        pod: aPod({ phase: 'Succeeded', spec: { volumes: [{ name: 'v', emptyDir: {} }] } }),
        sandbox: undefined,
      }),
      want: ['unmountVolumes'],
    },
    {
      it: 'leaves the files of a pod that ends as they are',
      given: state({ ...deleted, volumesStale: true, containers: [a({ name: 'main' })] }),
      want: ['stop main deleted'],
    },
    {
      it: 'begins with volumes and the sandbox',
      given: state({ sandbox: undefined, volumesReady: false, attached: false }),
      want: ['prepareVolumes', 'startSandbox'],
    },
    {
      it: 'waits for the range of addresses',
      given: state({ sandbox: undefined, networkReady: false, attached: false }),
      want: [],
    },
    { it: 'attaches a sandbox that is not', given: state({ attached: false }), want: ['attachNetwork'] },
    {
      it: 'looks at the network of a pod it took over, beside all else',
      given: state({ unverified: true }),
      want: ['attachNetwork', 'start main#0'],
    },
    {
      it: 'starts every container, in order',
      given: state({ spec: { containers: [aContainer({ name: 'b' }), aContainer({ name: 'a' })] } }),
      want: ['start b#0', 'start a#0'],
    },
    { it: 'rests when all run', given: state({ containers: [a()] }), want: [] },
    {
      it: 'pulls first where the policy is Always',
      given: state({ spec: { containers: [aContainer({ imagePullPolicy: 'Always' })] } }),
      want: ['pull main'],
    },
    {
      it: 'pulls what turned out to be absent',
      given: state({ images: new Map([['main', 'absent']]) }),
      want: ['pull main'],
    },
    { it: 'waits for a pull', given: state({ images: new Map([['main', 'pulling']]) }), want: [] },
    {
      it: 'starts what was made but never started',
      given: state({ containers: [a({ attempt: 3, is: { state: 'created' } })] }),
      want: ['start main#3'],
    },
    {
      it: 'restarts at once after the first crash',
      given: state({ containers: [a({ is: exited() })] }),
      want: ['start main#1'],
    },
    {
      it: 'waits after the second',
      given: state({ containers: [a({ attempt: 1, crashes: 1, is: exited() })] }),
      want: [],
    },
    {
      it: 'restarts when the wait is over',
      given: state({ containers: [a({ attempt: 1, crashes: 1, is: exited() })] }),
      want: ['start main#2'],
      atMs: epochMs + 10_000,
    },
    {
      it: 'forgives a container that ran for ten minutes',
      given: state({ containers: [a({ attempt: 7, crashes: 7, is: exited({ startedAtMs: epochMs - 600_000 }) })] }),
      want: ['start main#8'],
    },
    {
      it: 'leaves a finished container with restartPolicy OnFailure',
      given: state({ spec: { restartPolicy: 'OnFailure' }, containers: [a({ is: exited({ exitCode: 0 }) })] }),
      want: ['removeSandbox'],
    },
    {
      it: 'removes attempts before the last but one',
      given: state({
        containers: [a({ attempt: 2 }), a({ attempt: 1, is: exited() }), a({ attempt: 0, is: exited() })],
      }),
      want: ['remove main#0'],
    },
    {
      it: 'stops everyone when the sandbox is dead',
      given: state({ sandbox: a({ kind: 'sandbox', is: exited() }), containers: [a()] }),
      want: ['stop main sandboxLost'],
    },
    {
      it: 'then makes a new sandbox',
      given: state({ sandbox: a({ kind: 'sandbox', is: exited() }), containers: [a({ is: exited() })] }),
      want: ['removeSandbox', 'startSandbox'],
    },
    {
      it: 'runs init containers first, one by one',
      given: state({ spec: { initContainers: [aContainer({ name: 'i1' }), aContainer({ name: 'i2' })] } }),
      want: ['start i1#0'],
    },
    {
      it: 'ends every container of a deleted pod at once',
      given: state({ ...deleted, containers: [a(), a({ name: 'b' })] }),
      want: ['stop main deleted', 'stop b deleted'],
    },
    {
      it: 'then removes all that is left',
      given: state({ ...deleted, containers: [a({ is: exited() })] }),
      want: ['remove main#0', 'removeSandbox'],
    },
    { it: 'then the volumes', given: state({ ...deleted, sandbox: undefined }), want: ['removeVolumes'] },
    {
      it: 'then tells the API',
      given: state({ ...deleted, sandbox: undefined, volumesReady: false }),
      want: ['confirmDeletion'],
    },
    {
      it: 'tells nobody of a pod that the API does not know',
      given: state({ ...deleted, gone: true, sandbox: undefined, volumesReady: false }),
      want: [],
    },
  ];
  const side = aContainer({ name: 'side', restartPolicy: 'Always' });
  const late = aContainer({ name: 'late', restartPolicy: 'Always' });
  const withSides = { initContainers: [side, late] };
  const init = (name: string, over: Partial<RuntimeContainer> = {}): PodContainer =>
    a({ kind: 'init', name, is: over });
  const going = (over: Partial<PodState>): PodState =>
    state({ ...deleted, pod: aPod({ deleted: true, nodeName: 'n1', spec: withSides }), ...over });
  const quit = (why: StopReason, over: Partial<RuntimeContainer> = {}): Partial<PodState> => {
    const ended = a({ attempt: 4, crashes: 4, is: exited(over) });
    return { containers: [ended], stopped: new Map([[ended.is.id, why]]) };
  };
  const hook = { postStart: { exec: { command: ['true'] } } };
  const hooked = [aContainer({ name: 'one', lifecycle: hook }), aContainer({ name: 'two' })];
  const hooking = a({ name: 'one' });
  const more: typeof cases = [
    {
      it: 'starts a sidecar, and nothing behind it until it has started',
      given: state({ spec: withSides, containers: [init('side')], probes: new Map() }),
      want: ['start late#0'],
    },
    {
      it: 'lets an app container start when all sidecars have',
      given: state({ spec: withSides, containers: [init('side'), init('late')] }),
      want: ['start main#0'],
    },
    {
      it: 'ends the app containers of a deleted pod first',
      given: going({ containers: [init('side'), init('late'), a()] }),
      want: ['stop main deleted'],
    },
    {
      it: 'then its sidecars, the last to be started first',
      given: going({ containers: [init('side'), init('late'), a({ is: exited() })] }),
      want: ['stop late deleted'],
    },
    {
      it: 'all of them when the grace is over',
      given: going({ containers: [init('side'), init('late'), a()] }),
      want: ['stop side deleted', 'stop late deleted', 'stop main deleted'],
      atMs: epochMs + 30_000,
    },
    {
      it: 'ends the sidecars of a pod whose containers are through',
      given: state({
        spec: { ...withSides, restartPolicy: 'Never' },
        containers: [init('side'), init('late'), a({ is: exited() })],
      }),
      want: ['stop late podEnded'],
    },
    {
      it: 'starts another image at once, whatever was before',
      given: state({ containers: [a({ attempt: 4, crashes: 4, is: exited({ image: 'example/web:0' }) })] }),
      want: ['start main#5'],
    },
    {
      it: 'starts another image also where nothing would be restarted',
      given: state({ spec: { restartPolicy: 'Never' }, ...quit('imageChanged', { exitCode: 0 }) }),
      want: ['start main#5'],
    },
    {
      it: 'counts exit code 0 after a failed liveness probe as a crash',
      given: state({ spec: { restartPolicy: 'OnFailure' }, ...quit('unhealthy', { exitCode: 0 }) }),
      want: ['start main#5'],
      atMs: epochMs + 80_000,
    },
    {
      it: 'starts again at once what was ended with its sandbox, though its exit code is 0',
      given: state({ spec: { restartPolicy: 'OnFailure' }, ...quit('sandboxLost', { exitCode: 0 }) }),
      want: ['start main#5'],
    },
    {
      it: 'starts what ended well at once, whatever was before',
      given: state({
        containers: [a({ attempt: 4, crashes: 4, is: exited({ exitCode: 0, finishedAtMs: epochMs + 1_500 }) })],
      }),
      want: ['start main#5'],
      atMs: epochMs + 1_500,
    },
    {
      it: 'but no more often than once a second',
      given: state({ containers: [a({ is: exited({ exitCode: 0 }) })] }),
      want: [],
      atMs: epochMs + 900,
    },
    {
      it: 'starts no container behind a post-start hook that is not through',
      given: state({ spec: { containers: hooked }, containers: [hooking], hooking: new Set([hooking.is.id]) }),
      want: [],
    },
    { it: 'nor together with it', given: state({ spec: { containers: hooked } }), want: ['start one#0'] },
    {
      it: 'but lets those go on that had started before',
      given: state({
        spec: { containers: hooked },
        containers: [hooking, a({ name: 'two', is: exited() })],
        hooking: new Set([hooking.is.id]),
      }),
      want: ['start two#1'],
    },
    {
      it: 'never runs a second time what may run once and has vanished',
      given: state({
        pod: aPod({
          nodeName: 'n1',
          spec: { restartPolicy: 'Never' },
          status: { containerStatuses: [knownAs({ running: {} })] },
        }),
      }),
      want: ['removeSandbox'],
    },
    {
      it: 'starts what has vanished again where it may',
      given: state({ pod: aPod({ nodeName: 'n1', status: { containerStatuses: [knownAs({ running: {} })] } }) }),
      want: ['start main#3'],
    },
  ];
  for (const c of [...cases, ...more]) it(c.it, () => assert.deepEqual(decided(c.given, c.atMs), c.want));

  it('kills what is being stopped when its time is over, and not before', () => {
    const running = a();
    const stopping = new Map([[running.is.id, { sinceMs: epochMs, deadlineMs: epochMs + 30_000 }]]);
    const given = state({ ...deleted, containers: [running], stopping });
    assert.deepEqual(reconcile(given, epochMs + 1_000), { actions: [], wakeAtMs: epochMs + 30_000 });
    assert.deepEqual(decided(given, epochMs + 30_000), ['kill main#0']);
  });

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
        this.#state = { ...now, containers: [made, ...others].toSorted((x, y) => y.attempt - x.attempt) };
        return;
      }
      case 'stop':
      case 'kill':
        this.#replace(action.container, { state: 'exited', exitCode: 143, finishedAtMs: this.#nowMs });
        return;
      case 'remove':
        assert.notEqual(action.container.is.state, 'running');
        if (this.#ending !== 'no')
          this.#state = { ...now, removed: new Map([...now.removed, [action.container.name, action.container]]) };
        this.#state = { ...this.#state, containers: now.containers.filter((c) => c !== action.container) };
        return;
      case 'removeVolumes':
      case 'unmountVolumes':
        this.#state = { ...now, volumesReady: false };
        return;
      case 'confirmDeletion':
        assert.equal(now.containers.length, 0);
        assert.equal(now.sandbox, undefined);
        this.#state = { ...now, gone: true };
        return;
    }
  }

  /** What must be so in the end. */
  check(): void {
    const { containers, sandbox, pod } = this.#state;
    const running = new Set(containers.filter((c) => c.is.state === 'running').map((c) => c.name));
    if (this.#ending !== 'no') {
      assert.deepEqual([containers.length, sandbox, this.#state.gone], [0, undefined, true]);
      return;
    }
    const status = podStatus(this.#state, this.#nowMs);
    if (pod.spec.restartPolicy === 'Always') {
      assert.deepEqual([...running].sort(), ['one', 'side', 'two']);
      assert.equal(status.phase, 'Running');
    } else if (status.phase === 'Succeeded' || status.phase === 'Failed') {
      assert.deepEqual([running.size, sandbox], [0, undefined]);
    } else assert.ok(running.size > 0);
  }
}
