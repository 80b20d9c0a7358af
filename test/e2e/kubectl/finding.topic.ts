import assert from 'node:assert/strict';
import { systemKubectl } from '../../support/kubectl.ts';
import type { KubectlBed } from './bed.ts';

/** What a cluster is, what it serves, and who one is there: nothing is changed. */
export function findingTopic(bed: KubectlBed): void {
  describe('finds its way', () => {
    it('knows the cluster, and who it is there', async () => {
      const [version, info, who] = await Promise.all([
        bed.kubectl('version'),
        bed.kubectl('cluster-info'),
        bed.kubectl('auth whoami'),
      ]);
      assert.match(version, /^Server Version: v1\.\d+\.\d+\+troupe/m);
      assert.match(info, /control plane is running at https:\/\/127\.0\.0\.1:/);
      assert.match(who, /Username\s+admin\nGroups\s+\[system:masters system:authenticated\]/);
    });

    it('asks what it may do, also as somebody else', async () => {
      assert.equal(await bed.kubectl('auth can-i create pods'), 'yes\n');
      assert.equal(await bed.kubectl('auth can-i get pods --subresource=log'), 'yes\n');
      assert.match(await bed.kubectl('auth can-i --list'), /^\*\.\*\s+\[\]\s+\[\]\s+\[\*\]$/m);
      const robot = '--as=system:serviceaccount:default:robot';
      assert.match(await bed.kubectl(['auth', 'whoami', robot]), /Username\s+system:serviceaccount:default:robot/);
      const no = await bed.raw(['auth', 'can-i', 'create', 'pods', robot]);
      assert.deepEqual([no.code, no.stdout.slice(0, 2)], [1, 'no']);
      assert.match(
        await bed.refused(['get', 'pods', robot]),
        /Forbidden.*pods is forbidden: system:serviceaccount:default:robot/,
      );
    });

    it('lists groups and resources', async () => {
      const [groups, all, names, verbs] = await Promise.all([
        bed.kubectl('api-versions'),
        bed.kubectl('api-resources'),
        bed.kubectl('api-resources --verbs=list --namespaced -o name'),
        bed.kubectl('api-resources --api-group=coordination.k8s.io -o wide'),
      ]);
      for (const group of ['v1', 'authorization.k8s.io/v1', 'metrics.k8s.io/v1beta1', 'storage.k8s.io/v1'])
        assert.ok(groups.split('\n').includes(group), group);
      assert.match(all, /^replicationcontrollers\s+rc\s+v1\s+true\s+ReplicationController$/m);
      assert.match(all, /^nodes\s+no\S*\s+v1\s+false\s+Node$/m);
      assert.ok(names.split('\n').includes('pods') && !names.split('\n').includes('nodes'));
      assert.match(verbs, /^leases .*create,delete,deletecollection,get,list,patch,update,watch/m);
    });

    it('explains kinds and fields, one or all below it', async () => {
      const [kind, field, all] = await Promise.all([
        bed.kubectl('explain rc'),
        bed.kubectl('explain pod.spec.containers.ports.hostPort'),
        bed.kubectl('explain rc.spec --recursive'),
      ]);
      assert.match(kind, /^KIND: +ReplicationController\nVERSION: +v1$/m);
      assert.match(kind, /Keeps so many pods of one template alive/);
      assert.match(field, /Reachable also at the node's own address/);
      assert.match(all, /^ +livenessProbe\t<Probe>$/m);
      assert.match(await bed.refused('explain pods.spec.nothing'), /field "nothing" does not exist/);
    });

    it('is told in standard form what is not served', async () => {
      assert.match(await bed.refused('get nothing'), /the server doesn't have a resource type "nothing"/);
      assert.match(
        await bed.refused('get --raw /apis/nowhere.example/v1'),
        /NotFound.*could not find the requested resource/,
      );
      assert.match(await bed.refused('rollout status rc/web -n default'), /not found|no status viewer/);
    });

    it('looks at the health of the server', async () => {
      assert.equal(await bed.kubectl('get --raw /healthz'), 'ok');
      assert.match(await bed.kubectl('get --raw /readyz?verbose'), /^\[\+\]\S+ ok$[\s\S]*readyz check passed\n$/m);
      assert.match(await bed.kubectl('get --raw /'), /"\/api\/v1"/);
      assert.match(await bed.kubectl('get --raw /metrics'), /^troupe_apiserver_objects\{/m);
    });

    const other = systemKubectl();
    it(`works with the kubectl of this machine${other === undefined ? ' (there is none)' : ''}`, async () => {
      if (other === undefined) return;
      const given = { program: other };
      assert.match(await bed.kubectl('get nodes', given), /^node-1 +Ready/m);
      await bed.kubectl('create configmap system --from-literal=a=1', given);
      assert.equal(await bed.kubectl('get configmap system -o jsonpath={.data.a}', given), '1');
      await bed.kubectl('delete configmap system', given);
    });
  });
}
