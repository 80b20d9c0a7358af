import assert from 'node:assert/strict';
import type {
  ApiObject,
  CustomResourceDefinition,
  DaemonSet,
  Deployment,
  Job,
  ReplicaSet,
  ReplicationController,
} from '../../../lib/api/objects.ts';
import { keyOf } from '../../../lib/api/keys.ts';
import { ApiError, notFound } from '../../../lib/base/errors.ts';
import type { Client } from '../../../lib/client/client.ts';
import type { KeyQueue } from '../../../lib/controller/controller.ts';
import { customScales } from '../../../services/disruption-controller/custom-scales.ts';
import { runsWanted, scaleOf } from '../../../services/disruption-controller/scales.ts';
import { wakeOnChanges } from '../../../services/disruption-controller/wake.ts';
import { aJob } from '../../support/batch-builders.ts';
import { anRc, aPod } from '../../support/builders.ts';
import { aDefinition } from '../../support/kind-samples.ts';
import { aDaemonSet } from '../../support/daemon-builders.ts';
import { aBudget } from '../../support/disruption-builders.ts';
import { FakeView } from '../../support/fake-view.ts';
import { aDeployment, aReplicaSet } from '../../support/workload-builders.ts';
import type { Pod, PodDisruptionBudget } from '../../../lib/api/objects.ts';

function ownedBy<T extends ApiObject>(object: T, { apiVersion = '', kind = '', metadata }: ApiObject): T {
  const { name, uid } = metadata;
  return {
    ...object,
    metadata: { ...object.metadata, ownerReferences: [{ apiVersion, kind, name, uid, controller: true }] },
  };
}

const rings = {
  ...aDefinition('rings', 'Ring'),
  status: { conditions: [{ type: 'Established', status: 'True' }] },
} as unknown as CustomResourceDefinition;

describe('disruption-controller scales', () => {
  const make = () => ({
    rcs: new FakeView<ReplicationController>(),
    sets: new FakeView<ReplicaSet>(),
    deployments: new FakeView<Deployment>(),
    daemons: new FakeView<DaemonSet>(),
    jobs: new FakeView<Job>(),
  });
  const replicasOf = (views: ReturnType<typeof make>, owner: ApiObject): unknown => {
    const scale = scaleOf(views, new Map(), ownedBy(aPod({ name: 'p' }), owner));
    return typeof scale === 'string' ? scale : scale.replicas;
  };

  it('asks whoever wants the pod', () => {
    const views = make();
    const rc = anRc({ replicas: 3 });
    const deployment = aDeployment({ spec: { replicas: 5 } });
    const set = ownedBy(aReplicaSet({ name: 'web-1', replicas: 2 }), deployment);
    const daemon = aDaemonSet({ status: { desiredNumberScheduled: 4 } });
    const job = aJob({ spec: { parallelism: 6, completions: 9 }, status: { succeeded: 5 } });
    views.rcs.wrote(rc);
    views.deployments.wrote(deployment);
    views.sets.wrote(set);
    views.daemons.wrote(daemon);
    views.jobs.wrote(job);
    assert.deepEqual(
      [rc, set, daemon, job].map((owner) => replicasOf(views, owner)),
      [3, 5, 4, 4],
    );
  });

  it('says of which pod nobody can say it', () => {
    const stranger = { ...anRc({ name: 'ring' }), kind: 'Ring' };
    assert.equal(
      replicasOf(make(), stranger),
      'pod p belongs to Ring ring, which has no scale: for it, minAvailable must be a number',
    );
  });

  it('asks the scale of a kind that users defined, of each owner once', async () => {
    const ring = { ...anRc({ name: 'ring' }), apiVersion: 'example.com/v1', kind: 'Ring' };
    const other = { ...anRc({ name: 'other' }), apiVersion: 'example.com/v1', kind: 'Ring' };
    const pods = [ring, ring, other].map((owner, i) => ownedBy(aPod({ name: `p${i}` }), owner));
    const asked: string[] = [];
    const client = {
      scale: async (resource: string, key: string) => {
        asked.push(`${resource} ${key}`);
        if (key === 'default/other') throw notFound('rings.example.com', 'other');
        return { metadata: ring.metadata, spec: { replicas: 7 } };
      },
    } as unknown as Pick<Client, 'scale'>;
    const custom = await customScales([...pods, ownedBy(aPod({ name: 'q' }), anRc({}))], [rings], client);
    assert.deepEqual(asked.toSorted(), ['rings.example.com default/other', 'rings.example.com default/ring']);
    assert.deepEqual(scaleOf(make(), custom, pods[0] as Pod), { uid: ring.metadata.uid, replicas: 7 });
    assert.equal(
      scaleOf(make(), custom, pods[2] as Pod),
      'pod p2 belongs to Ring other, which has no scale: for it, minAvailable must be a number',
    );
  });

  it('asks nobody where no pod belongs to such a kind, and counts nothing while the API is away', async () => {
    const client = {
      scale: () => Promise.reject(new ApiError('ServiceUnavailable', 'away')),
    } as unknown as Pick<Client, 'scale'>;
    assert.equal((await customScales([ownedBy(aPod({ name: 'q' }), anRc({}))], [rings], client)).size, 0);
    const ring = { ...anRc({ name: 'ring' }), apiVersion: 'example.com/v1', kind: 'Ring' };
    await assert.rejects(customScales([ownedBy(aPod({ name: 'q' }), ring)], [rings], client), /away/);
  });

  const jobs = [
    { it: 'all at once', spec: { parallelism: 3 }, status: {}, want: 3 },
    { it: 'no more than are left', spec: { parallelism: 3, completions: 5 }, status: { succeeded: 4 }, want: 1 },
    { it: 'none of one that is done', spec: { parallelism: 3, completions: 5 }, status: { succeeded: 5 }, want: 0 },
    { it: 'none of one that is suspended', spec: { parallelism: 3, suspend: true }, status: {}, want: 0 },
    {
      it: 'those of a work queue that still run',
      spec: { parallelism: 3 },
      status: { succeeded: 1, active: 2 },
      want: 2,
    },
  ];
  for (const { it: title, spec, status, want } of jobs)
    it(`of a Job: ${title}`, () => {
      assert.equal(runsWanted(aJob({ spec, status })), want);
    });

  it('counts budgets again when nodes join a DaemonSet or runs of a Job complete, and not for every other word of them', () => {
    const views = { ...make(), budgets: new FakeView<PodDisruptionBudget>(), pods: new FakeView<Pod>() };
    const budget = aBudget({ name: 'all' });
    views.budgets.wrote(budget);
    const woken: string[] = [];
    wakeOnChanges({ add: (key: string) => woken.push(key) } as unknown as KeyQueue, views);
    const daemon = aDaemonSet({ status: { desiredNumberScheduled: 4, numberReady: 1 } });
    views.daemons.wrote(daemon);
    views.daemons.wrote({ ...daemon, status: { ...daemon.status, numberReady: 2 } });
    views.daemons.wrote({ ...daemon, status: { ...daemon.status, desiredNumberScheduled: 5 } });
    const job = aJob({ spec: { parallelism: 2, completions: 2 } });
    views.jobs.wrote(job);
    views.jobs.wrote({ ...job, status: { active: 2 } });
    views.jobs.wrote({ ...job, status: { active: 1, succeeded: 1 } });
    assert.deepEqual(
      woken,
      Array.from({ length: 4 }, () => keyOf(budget)),
    );
  });
});
