import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Pod } from '../../../lib/api/objects.ts';
import { Cluster } from '../../../lib/placing/cluster.ts';
import { aNode, aPod, aService } from '../../support/builders.ts';

/** Everything the cluster counts, in a form to compare. */
const shown = (cluster: Cluster, groupIds: readonly string[]): unknown => ({
  nodes: cluster.nodes.map(({ name, used, hostPorts }) => ({
    name,
    used,
    ports: hostPorts.map(({ port }) => port).sort(),
  })),
  groups: groupIds.map((id) => ({
    id,
    nodes: [...(cluster.group(id)?.byNode ?? [])].map(([node, count]) => `${node.name}=${count}`).sort(),
    zones: [...(cluster.group(id)?.byZone ?? [])].map(([zone, count]) => `${zone}=${count}`).sort(),
  })),
});

describe('scheduler/cluster', () => {
  const zoneOf = (zone: number) => ({ 'topology.kubernetes.io/zone': `z${zone}` });

  it('counts after any history what it counts when told the end of it at once', () => {
    const step = fc.oneof(
      fc.record({
        do: fc.constant('pod' as const),
        pod: fc.nat(5),
        node: fc.integer({ min: -1, max: 3 }),
        label: fc.nat(1),
        owner: fc.nat(1),
        phase: fc.constantFrom('Running', 'Failed'),
        deleted: fc.boolean(),
        life: fc.nat(1),
      }),
      fc.record({ do: fc.constant('remove' as const), pod: fc.nat(5) }),
      fc.record({ do: fc.constant('assume' as const), pod: fc.nat(5), node: fc.nat(3) }),
      fc.record({ do: fc.constant('node' as const), node: fc.nat(3), zone: fc.nat(1) }),
      fc.record({ do: fc.constant('remove node' as const), node: fc.nat(3) }),
      fc.record({ do: fc.constant('service' as const), app: fc.nat(1), there: fc.boolean() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const cluster = new Cluster();
        const pods = new Map<string, Pod>();
        const nodes = new Map<string, number>();
        let service: number | undefined;
        for (const each of steps) {
          if (each.do === 'pod') {
            const pod = aPod({
              name: `p${each.pod}`,
              uid: `uid-${each.pod}-${each.life}`,
              ...(each.node < 0 ? {} : { nodeName: `n${each.node}` }),
              labels: { app: `a${each.label}` },
              ownerUid: `rc${each.owner}`,
              phase: each.phase,
              deleted: each.deleted,
              cpu: `${each.pod}00m`,
              ports: [{ containerPort: 1, hostPort: 1000 + each.pod, protocol: 'TCP' }],
            });
            cluster.forget(`default/p${each.pod}`);
            cluster.setPod(pod);
            pods.set(pod.metadata.name, pod);
          } else if (each.do === 'remove') {
            cluster.removePod(`default/p${each.pod}`);
            pods.delete(`p${each.pod}`);
          } else if (each.do === 'assume') {
            const pod = aPod({ name: `p${each.pod}`, labels: { app: 'a0' } });
            if (cluster.nodeOf(`default/p${each.pod}`) === undefined) {
              cluster.assume(cluster.ask(pod), `n${each.node}`);
              cluster.forget(`default/p${each.pod}`);
            }
          } else if (each.do === 'node') {
            cluster.setNode(aNode({ name: `n${each.node}`, labels: zoneOf(each.zone) }));
            nodes.set(`n${each.node}`, each.zone);
          } else if (each.do === 'remove node') {
            cluster.removeNode(`n${each.node}`);
            nodes.delete(`n${each.node}`);
          } else {
            if (each.there) cluster.setService(aService({ selector: { app: `a${each.app}` } }));
            else cluster.removeService('default/web', 'default');
            service = each.there ? each.app : undefined;
          }
        }
        const fresh = new Cluster();
        if (service !== undefined) fresh.setService(aService({ selector: { app: `a${service}` } }));
        for (const [name, zone] of nodes) fresh.setNode(aNode({ name, labels: zoneOf(zone) }));
        for (const pod of pods.values()) fresh.setPod(pod);
        const ids = ['controller rc0', 'controller rc1', 'service default/web'];
        // Zones of nodes that are not registered are forgotten with them or not: they do not take part in any choice.
        const known = (state: unknown): unknown =>
          JSON.parse(JSON.stringify(state), (key, value: unknown) => (key === 'zones' ? undefined : value));
        assert.deepEqual(known(shown(cluster, ids)), known(shown(fresh, ids)));
        if (['n0', 'n1', 'n2', 'n3'].every((name) => nodes.has(name)))
          assert.deepEqual(shown(cluster, ids), shown(fresh, ids));
      }),
      { numRuns: 400 },
    );
  });

  it('keeps an assumption while the pod is written by others, and confirms it', () => {
    const cluster = new Cluster();
    cluster.setNode(aNode());
    const pod = aPod({ cpu: '1' });
    cluster.assume(cluster.ask(pod), 'n1');
    cluster.setPod({ ...pod, status: { phase: 'Pending', message: 'another writer' } });
    assert.equal(cluster.nodeOf('default/web-1'), 'n1');
    cluster.setPod(aPod({ cpu: '1', nodeName: 'n1' }));
    cluster.forget('default/web-1');
    assert.equal(cluster.nodeOf('default/web-1'), 'n1', 'a bound pod is not forgotten');
    assert.equal(cluster.nodes[0]?.used.cpuMilli, 1000);
  });

  const helps: {
    it: string;
    before?: Parameters<typeof aNode>[0];
    after: Parameters<typeof aNode>[0];
    want: boolean;
  }[] = [
    { it: 'a new node helps', after: {}, want: true },
    { it: 'a new node that is not ready does not', after: { ready: false }, want: false },
    { it: 'a heartbeat does not', before: {}, after: { resourceVersion: '2' }, want: false },
    { it: 'becoming ready helps', before: { ready: false }, after: {}, want: true },
    { it: 'being uncordoned helps', before: { unschedulable: true }, after: {}, want: true },
    { it: 'being cordoned does not', before: {}, after: { unschedulable: true }, want: false },
    { it: 'more memory helps', before: { memory: '1Gi' }, after: { memory: '2Gi' }, want: true },
    { it: 'a lost taint helps', before: { taints: [{ key: 'a', effect: 'NoSchedule' }] }, after: {}, want: true },
    { it: 'a label helps', before: {}, after: { labels: { disk: 'ssd' } }, want: true },
  ];
  for (const row of helps) {
    it(row.it, () => {
      const cluster = new Cluster();
      if (row.before !== undefined) cluster.setNode(aNode(row.before));
      assert.equal(cluster.setNode(aNode(row.after)), row.want);
    });
  }

  it('lets the zones take turns', () => {
    const cluster = new Cluster();
    for (const [name, zone] of [
      ['a', 0],
      ['b', 0],
      ['c', 1],
      ['d', 1],
    ] as const) {
      cluster.setNode(aNode({ name, labels: zoneOf(zone) }));
    }
    assert.deepEqual(
      cluster.nodes.map(({ name }) => name),
      ['a', 'c', 'b', 'd'],
    );
  });
});
