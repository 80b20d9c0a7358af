import assert from 'node:assert/strict';
import type { Node, PodSpec, Taint } from '../../../lib/api/objects.ts';
import { concernsDaemons, fitOf, tolerationsOf } from '../../../services/daemonset-controller/fit.ts';
import { aNode, aPodSpec } from '../../support/builders.ts';
import type { DaemonSetOptions } from '../../support/daemon-builders.ts';

const taint = (key: string, effect: Taint['effect']): Taint => ({ key, effect });

describe('daemonset-controller/fit', () => {
  const fits = (
    options: DaemonSetOptions['template'],
    node: Parameters<typeof aNode>[0],
    more: Partial<PodSpec> = {},
  ): string => {
    const { wanted, mayStay } = fitOf({ ...aPodSpec(options), ...more })(aNode(node));
    return wanted ? 'wanted' : mayStay ? 'may stay' : 'no';
  };
  const affinity = (values: readonly string[]): Partial<PodSpec> => ({
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'In', values }] }],
        },
      },
    },
  });
  for (const [what, expected, actual] of [
    ['a plain node', 'wanted', fits({}, {})],
    ['a cordoned one', 'wanted', fits({}, { unschedulable: true })],
    ['one that is lost', 'wanted', fits({}, { taints: [taint('node.kubernetes.io/unreachable', 'NoExecute')] })],
    ['one under pressure', 'wanted', fits({}, { taints: [taint('node.kubernetes.io/disk-pressure', 'NoSchedule')] })],
    [
      'one without a network',
      'may stay',
      fits({}, { taints: [taint('node.kubernetes.io/network-unavailable', 'NoSchedule')] }),
    ],
    [
      'one without a network, for who brings it',
      'wanted',
      fits({}, { taints: [taint('node.kubernetes.io/network-unavailable', 'NoSchedule')] }, { hostNetwork: true }),
    ],
    ['one that others shall not come to', 'may stay', fits({}, { taints: [taint('gpu', 'NoSchedule')] })],
    ['one that drives out', 'no', fits({}, { taints: [taint('gpu', 'NoExecute')] })],
    ['one that is rather left alone', 'wanted', fits({}, { taints: [taint('gpu', 'PreferNoSchedule')] })],
    [
      'one that is tolerated',
      'wanted',
      fits({ tolerations: [{ operator: 'Exists' }] }, { taints: [taint('gpu', 'NoExecute')] }),
    ],
    ['one with the label', 'wanted', fits({ nodeSelector: { disk: 'ssd' } }, { labels: { disk: 'ssd' } })],
    ['one without', 'no', fits({ nodeSelector: { disk: 'ssd' } }, {})],
    ['one in the zone', 'wanted', fits({}, { labels: { zone: 'a' } }, affinity(['a']))],
    ['one in another zone', 'no', fits({}, { labels: { zone: 'b' } }, affinity(['a']))],
    ['the one that is named', 'wanted', fits({}, { name: 'n1' }, { nodeName: 'n1' })],
    ['another than is named', 'no', fits({}, { name: 'n2' }, { nodeName: 'n1' })],
  ] as const)
    it(`${what}: ${expected}`, () => assert.equal(actual, expected));

  it('gives tolerations once, and keeps those of the template', () => {
    const own = { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' } as const;
    const once = tolerationsOf({ ...aPodSpec(), tolerations: [own] });
    assert.equal(once.length, 6);
    assert.deepEqual(tolerationsOf({ ...aPodSpec(), tolerations: once }), once);
    assert.equal(tolerationsOf({ ...aPodSpec(), hostNetwork: true }).length, 7);
  });

  it('takes no heed of heartbeats', () => {
    const node = aNode({ name: 'n1' });
    const beat = { ...node, status: { ...node.status, images: [] } };
    assert.equal(concernsDaemons(node, beat as Node), false);
    assert.equal(concernsDaemons(node, aNode({ name: 'n1', labels: { a: 'b' } })), true);
    assert.equal(concernsDaemons(node, undefined), true);
  });
});
