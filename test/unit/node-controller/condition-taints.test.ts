import assert from 'node:assert/strict';
import type { Node, Taint } from '../../../lib/api/objects.ts';
import { withConditionTaints } from '../../../services/node-controller/condition-taints.ts';
import { aNode, epoch, epochMs } from '../../support/builders.ts';

const short = (node: Node, ...types: readonly string[]): Node => ({
  ...node,
  status: {
    ...node.status,
    conditions: ['MemoryPressure', 'DiskPressure', 'PIDPressure'].map((type) => ({
      type,
      status: types.includes(type) ? ('True' as const) : ('False' as const),
    })),
  },
});
const taint = (what: string): Taint => ({
  key: `node.kubernetes.io/${what}-pressure`,
  effect: 'NoSchedule',
  timeAdded: epoch,
});
const mine: Taint = { key: 'gpu', effect: 'NoSchedule' };

describe('node-controller/condition-taints', () => {
  const rows = [
    { it: 'marks a node that is short of something', types: ['MemoryPressure'], before: [], want: [taint('memory')] },
    {
      it: 'marks each shortage by itself and leaves the taints of others',
      types: ['DiskPressure', 'PIDPressure'],
      before: [mine],
      want: [mine, taint('disk'), taint('pid')],
    },
    { it: 'takes the mark off when it is over', types: [], before: [taint('disk'), mine], want: [mine] },
    {
      it: 'leaves a taint of the same name that drives pods out to whoever set it',
      types: [],
      before: [{ ...taint('disk'), effect: 'NoExecute' as const }],
      want: [{ ...taint('disk'), effect: 'NoExecute' as const }],
    },
  ];
  for (const row of rows) {
    it(row.it, () => {
      const node = short(aNode(), ...row.types);
      const found = withConditionTaints(node, row.before, epochMs);
      assert.deepEqual(found, row.want);
      assert.equal(withConditionTaints(node, found, epochMs + 1), found, 'said once');
    });
  }
});
