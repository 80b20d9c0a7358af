import assert from 'node:assert/strict';
import type { PodContainer } from '../../../node-agent/labels.ts';
import type { PodState, StopReason } from '../../../node-agent/plan.ts';
import { reconcile } from '../../../node-agent/reconcile.ts';
import type { RuntimeContainer } from '../../../node-agent/runtime/runtime.ts';
import { aContainer, aPod, epochMs } from '../../support/builders.ts';
import { a, decided, knownAs, state } from './pod-states.ts';

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
      it: 'takes a pod that Services select out of traffic before it is stopped',
      given: state({ ...deleted, served: true, containers: [a({ name: 'main' })] }),
      want: ['withdraw'],
    },
    {
      it: 'waits while a pod is being taken out of traffic',
      given: state({ ...deleted, served: true, withdrawal: 'underWay', containers: [a({ name: 'main' })] }),
      want: [],
    },
    {
      it: 'stops a pod that is out of traffic',
      given: state({ ...deleted, served: true, withdrawal: 'done', containers: [a({ name: 'main' })] }),
      want: ['stop main deleted'],
    },
    {
      it: 'stops a pod that could not be taken out of traffic in time',
      given: state({ ...deleted, served: true, withdrawal: 'underWay', containers: [a({ name: 'main' })] }),
      want: ['stop main deleted'],
      atMs: epochMs + 5_000,
    },
    {
      it: 'waits for nobody where the pod was removed by force',
      given: state({ ...deleted, served: true, gone: true, containers: [a({ name: 'main' })] }),
      want: ['stop main deleted'],
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
      atMs: epochMs + 1_000,
      want: ['remove main#0'],
    },
    {
      it: 'does not while the last may still be on its way to serving',
      given: state({
        containers: [a({ attempt: 2 }), a({ attempt: 1, is: exited() }), a({ attempt: 0, is: exited() })],
      }),
      atMs: epochMs + 999,
      want: [],
    },
    {
      it: 'does at once where the disk is short',
      given: state({
        tidy: true,
        containers: [a({ attempt: 2 }), a({ attempt: 1, is: exited() }), a({ attempt: 0, is: exited() })],
      }),
      want: ['remove main#1', 'remove main#0'],
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
});
