import assert from 'node:assert/strict';
import { podWords } from '../../../cli/describe/pod-words.ts';
import type { PodStatus } from '../../../lib/api/objects.ts';
import { aPod } from '../../support/builders.ts';

const container = (state: object, more: object = {}) => ({
  containerStatuses: [{ name: 'app', image: 'web:1', imageID: '', ready: false, restartCount: 0, state, ...more }],
});

describe('cli/describe pod words', () => {
  const rows: readonly { it: string; status: Partial<PodStatus>; nodeName?: string; want: string }[] = [
    { it: 'says no more than is so', status: container({ running: {} }), want: 'Running' },
    {
      it: 'says what a container waits for',
      status: { ...container({ waiting: { reason: 'ImagePullBackOff', message: 'no such image' } }), phase: 'Pending' },
      want: 'ImagePullBackOff (container app: no such image)',
    },
    {
      it: 'says how one ended',
      status: { ...container({ terminated: { exitCode: 3, reason: 'Error' } }), phase: 'Failed' },
      want: 'Error (container app: exit code 3)',
    },
    {
      it: 'says how one ended that is about to run again',
      status: container(
        { waiting: { reason: 'CrashLoopBackOff' } },
        { lastState: { terminated: { exitCode: 1, reason: 'Error' } } },
      ),
      want: 'CrashLoopBackOff (container app: exit code 1)',
    },
    {
      it: 'says nothing of one that ended well',
      status: { ...container({ terminated: { exitCode: 0, reason: 'Completed' } }), phase: 'Succeeded' },
      want: 'Completed',
    },
    {
      it: 'says why the pod as a whole has failed',
      status: { phase: 'Failed', reason: 'Evicted', message: 'the node was short of memory' },
      want: 'Evicted (the node was short of memory)',
    },
  ];
  for (const { it: title, status, want } of rows)
    it(title, () => {
      const pod = aPod({ nodeName: 'n1' });
      assert.equal(podWords({ ...pod, status: { phase: 'Running', ...status } }), want);
    });

  it('says what a pod lacks that finds no place', () => {
    const message = '0/2 nodes are available: 2 insufficient cpu.';
    const { nodeName: _, ...spec } = aPod().spec;
    const conditions = [{ type: 'PodScheduled', status: 'False' as const, reason: 'Unschedulable', message }];
    assert.equal(podWords({ ...aPod(), spec, status: { phase: 'Pending', conditions } }), `Pending (${message})`);
  });
});
