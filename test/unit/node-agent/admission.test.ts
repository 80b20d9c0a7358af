import assert from 'node:assert/strict';
import type { Pod } from '../../../lib/api/objects.ts';
import { firstComeFirst, misfitOf } from '../../../node-agent/admission.ts';
import { aNode, aPod, type PodOptions } from '../../support/builders.ts';
import { AgentHarness } from './harness.ts';

describe('node-agent/admission', () => {
  const node = aNode({ name: 'n1', cpu: '2', memory: '1Gi', pods: '3', others: { 'example.com/gpu': '1' } });
  const there = (name: string, options: PodOptions = {}) => aPod({ name, nodeName: 'n1', ...options });
  const cases: readonly (readonly [
    what: string,
    pod: PodOptions,
    taken: readonly PodOptions[],
    want?: readonly [reason: string, message: string | RegExp],
  ])[] = [
    ['all that is left', { cpu: '500m' }, [{ cpu: '1500m' }]],
    [
      'more cpu than is left',
      { cpu: '600m' },
      [{ cpu: '1500m' }],
      ['OutOfcpu', "Node didn't have enough resource: cpu, requested: 600m, used: 1500m, capacity: 2000m"],
    ],
    [
      'more memory than there is',
      { memory: '2Gi' },
      [],
      ['OutOfmemory', /memory, requested: 2Gi, used: 0, capacity: 1Gi$/],
    ],
    ['one pod too many', {}, [{}, {}, {}], ['OutOfpods', /pods, requested: 1, used: 3, capacity: 3$/]],
    [
      'a piece that is taken',
      { others: { 'example.com/gpu': '1' } },
      [{ others: { 'example.com/gpu': '1' } }],
      ['OutOfexample.com/gpu', /requested: 1, used: 1, capacity: 1$/],
    ],
    ['what one has that is over', { cpu: '2' }, [{ cpu: '2', phase: 'Succeeded' }]],
    ['what one has that is ending', { cpu: '2' }, [{ cpu: '2', deleted: true }], ['OutOfcpu', /used: 2000m/]],
    ['nothing, where more is promised than there is', {}, [{ cpu: '3' }]],
    ['what runs the node itself', { cpu: '2', spec: { priority: 2_000_001_000 } }, [{ cpu: '2' }]],
  ];
  for (const [what, options, taken, want] of cases)
    it(`${want === undefined ? 'takes' : 'refuses'} ${what}`, () => {
      const others = taken.map((other, i) => there(`other-${i}`, other));
      const pod = there('new', options);
      const refusal = misfitOf(pod, node, [...others, pod]);
      assert.equal(refusal?.reason, want?.[0]);
      if (typeof want?.[1] === 'string') assert.equal(refusal?.message, want[1]);
      else if (want !== undefined) assert.match(refusal?.message ?? '', want[1]);
    });

  it('takes everything where the node does not say what it has', () => {
    assert.equal(misfitOf(there('new', { cpu: '99' }), undefined, []), undefined);
  });

  it('looks first at those that were started, then at the more important, then at the earlier', () => {
    const bound = (name: string, second: number, startTime?: string, priority = 0) => {
      const conditions: Pod['status']['conditions'] & object = [
        { type: 'PodScheduled', status: 'True', lastTransitionTime: `2026-01-01T00:00:0${second}Z` },
      ];
      const { startTime: _, ...status } = there(name, { spec: { priority }, status: { conditions } }).status;
      return {
        ...there(name, { spec: { priority } }),
        status: startTime === undefined ? status : { ...status, startTime },
      };
    };
    const pods = [
      bound('late', 2),
      bound('early', 1),
      bound('important', 3, undefined, 5),
      bound('started', 4, '2026-01-01T00:00:05Z'),
    ];
    assert.deepEqual(
      firstComeFirst(pods).map(({ metadata }) => metadata.name),
      ['started', 'important', 'early', 'late'],
    );
  });

  it('an agent turns away the pod that comes second, keeps the first over a restart, and takes the next when there is room', async () => {
    const harness = await AgentHarness.start();
    try {
      const allocatable = (await harness.get('nodes', 'n1'))?.status.allocatable?.['cpu'] ?? '';
      const all = { containers: [{ name: 'main', resources: { requests: { cpu: allocatable } } }] };
      await harness.createPod('first', all);
      await harness.untilRunning('first');
      await harness.createPod('second', all);
      const second = await harness.untilPod('second', 'is turned away', ({ status }) => status.phase === 'Failed');
      assert.equal(second.status.reason, 'OutOfcpu');
      await harness.restartAgent();
      await harness.createPod('third', { containers: [{ name: 'main' }] });
      await harness.untilRunning('third');
      assert.equal((await harness.pod('first')).status.phase, 'Running');
      await harness.client.delete('pods', 'default/first', { gracePeriodSeconds: 0 });
      await harness.createPod('fourth', all);
      await harness.untilRunning('fourth');
    } finally {
      await harness.stop();
    }
  });
});
