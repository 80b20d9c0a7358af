import assert from 'node:assert/strict';
import type { Condition, PodSpec, Taint, Toleration } from '../../../lib/api/objects.ts';
import {
  availableInMs,
  controllerOf,
  hostPortsOf,
  isActive,
  isAvailable,
  isReady,
  isTerminal,
  needsOf,
  portsClash,
  tolerates,
  untolerated,
  withCondition,
} from '../../../lib/api/pods.ts';
import { aContainer, anRc, aPod, aPodSpec, epoch, epochMs } from '../../support/builders.ts';

describe('api/pods', () => {
  it('tells active, terminal and ready pods apart', () => {
    const rows = [
      { pod: aPod(), active: true, terminal: false, ready: false },
      { pod: aPod({ phase: 'Running' }), active: true, terminal: false, ready: true },
      { pod: aPod({ phase: 'Running', ready: false }), active: true, terminal: false, ready: false },
      { pod: aPod({ phase: 'Succeeded' }), active: false, terminal: true, ready: false },
      { pod: aPod({ phase: 'Failed' }), active: false, terminal: true, ready: false },
      { pod: aPod({ phase: 'Running', deleted: true }), active: false, terminal: false, ready: true },
    ];
    for (const { pod, ...want } of rows)
      assert.deepEqual({ active: isActive(pod), terminal: isTerminal(pod), ready: isReady(pod) }, want);
  });

  it('calls a pod available after minReadySeconds', () => {
    const pod = aPod({ phase: 'Running', readySince: epoch });
    assert.equal(isAvailable(pod, 0, epochMs), true);
    assert.equal(isAvailable(pod, 10, epochMs + 9_999), false);
    assert.equal(isAvailable(pod, 10, epochMs + 10_000), true);
    assert.equal(availableInMs(pod, 10, epochMs + 4_000), 6_000);
    assert.equal(availableInMs(aPod(), 10, epochMs), undefined);
  });

  it('finds the controller among the owners', () => {
    const rc = anRc();
    assert.equal(controllerOf(aPod({ ownerUid: rc.metadata.uid }))?.uid, rc.metadata.uid);
    assert.equal(controllerOf(aPod()), undefined);
  });

  it('moves lastTransitionTime only when the status changes', () => {
    const ready: Condition = { type: 'Ready', status: 'True' };
    const first = withCondition<Condition>(undefined, ready, epochMs);
    assert.deepEqual(first, [{ ...ready, lastTransitionTime: epoch }]);
    assert.equal(withCondition<Condition>(first, ready, epochMs + 5_000), first);
    assert.deepEqual(withCondition<Condition>(first, { ...ready, reason: 'X' }, epochMs + 5_000), [
      { ...ready, reason: 'X', lastTransitionTime: epoch },
    ]);
    const other = withCondition<Condition>(first, { type: 'Initialized', status: 'True' }, epochMs + 5_000);
    assert.deepEqual(withCondition<Condition>(other, { type: 'Ready', status: 'False' }, epochMs + 5_000), [
      { type: 'Ready', status: 'False', lastTransitionTime: '2026-01-01T00:00:05Z' },
      { type: 'Initialized', status: 'True', lastTransitionTime: '2026-01-01T00:00:05Z' },
    ]);
  });

  const asking = (cpu: string, memory: string, more: object = {}) =>
    aContainer({ resources: { requests: { cpu, memory } }, ...more });
  const needs: readonly {
    readonly it: string;
    readonly spec: Partial<PodSpec>;
    readonly want: readonly [number, number];
  }[] = [
    { it: 'nothing', spec: { containers: [aContainer()] }, want: [0, 0] },
    {
      it: 'the sum of its containers',
      spec: { containers: [asking('250m', '64Mi'), asking('1', '1Gi')] },
      want: [1250, 1088 * 2 ** 20],
    },
    {
      it: 'the largest init container',
      spec: { containers: [asking('250m', '64Mi')], initContainers: [asking('1', '1Mi'), asking('500m', '100Mi')] },
      want: [1000, 100 * 2 ** 20],
    },
    {
      it: 'sidecars with everything after them',
      spec: {
        containers: [asking('100m', '1Mi')],
        initContainers: [asking('1', '1Mi'), asking('200m', '10Mi', { restartPolicy: 'Always' }), asking('1', '2Mi')],
      },
      want: [1200, 12 * 2 ** 20],
    },
  ];
  for (const { it: what, spec, want } of needs)
    it(`asks for ${what}`, () =>
      assert.deepEqual(needsOf(aPodSpec({ spec })), {
        cpuMilli: want[0],
        memoryBytes: want[1],
        diskBytes: 0,
        pods: 1,
      }));

  it('asks for what nodes declare beyond cpu, memory and disk, by name, in whole units', () => {
    const taking = (list: Readonly<Record<string, string>>) =>
      aContainer({ resources: { requests: list, limits: list } });
    const spec = aPodSpec({
      spec: {
        initContainers: [taking({ 'example.com/gpu': '3' })],
        containers: [taking({ 'example.com/gpu': '1', 'hugepages-2Mi': '4Mi' }), taking({ 'example.com/gpu': '1' })],
      },
    });
    assert.deepEqual(needsOf(spec).others, { 'example.com/gpu': 3, 'hugepages-2Mi': 4 * 2 ** 20 });
    assert.equal('others' in needsOf(aPodSpec()), false);
  });

  it('knows the host ports and when they clash', () => {
    const spec = aPodSpec({
      ports: [
        { containerPort: 80, protocol: 'TCP' },
        { containerPort: 80, hostPort: 8080, protocol: 'TCP' },
        { containerPort: 53, hostPort: 53, protocol: 'UDP', hostIP: '192.0.2.1' },
      ],
    });
    const any = { ip: '0.0.0.0', port: 8080, protocol: 'TCP' } as const;
    assert.deepEqual(hostPortsOf(spec), [any, { ip: '192.0.2.1', port: 53, protocol: 'UDP' }]);
    assert.equal(portsClash(any, { ...any, ip: '192.0.2.1' }), true);
    assert.equal(portsClash({ ...any, ip: '192.0.2.1' }, { ...any, ip: '192.0.2.2' }), false);
    assert.equal(portsClash(any, { ...any, protocol: 'UDP' }), false);
    assert.equal(portsClash(any, { ...any, port: 81 }), false);
  });

  const taint: Taint = { key: 'dedicated', value: 'gpu', effect: 'NoSchedule' };
  const tolerations: readonly (readonly [Toleration, boolean])[] = [
    [{ operator: 'Exists' }, true],
    [{ key: 'dedicated', operator: 'Exists' }, true],
    [{ key: 'dedicated', value: 'gpu' }, true],
    [{ key: 'dedicated', operator: 'Equal', value: 'gpu', effect: 'NoSchedule' }, true],
    [{ key: 'dedicated', operator: 'Equal', value: 'cpu' }, false],
    [{ key: 'dedicated', operator: 'Exists', effect: 'NoExecute' }, false],
    [{ key: 'other', operator: 'Exists' }, false],
    [{ value: 'gpu' }, false],
  ];
  for (const [toleration, want] of tolerations)
    it(`${JSON.stringify(toleration)} ${want ? 'covers' : 'does not cover'} the taint`, () => {
      assert.equal(tolerates(toleration, taint), want);
      assert.deepEqual(untolerated(aPodSpec({ tolerations: [toleration] }), [taint]), want ? [] : [taint]);
    });
});
