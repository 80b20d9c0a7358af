import assert from 'node:assert/strict';
import { resources, type Objects, type BuiltIn } from '../../../lib/api/kinds.ts';
import type { ContainerStatus } from '../../../lib/api/objects.ts';
import { ageOf, ageOfTime, columnsOf, durationText, rowOf } from '../../../lib/api/printing/index.ts';
import {
  aContainer,
  aNamespace,
  aNode,
  anEndpoints,
  anEvent,
  anRc,
  aPod,
  aService,
  epochMs,
  type PodOptions,
} from '../../support/builders.ts';
import { aClaim, aClass, aVolume } from '../../support/storage-builders.ts';
import { aDeployment, aReplicaSet } from '../../support/workload-builders.ts';

const now = epochMs + 5 * 60_000;

/** The row as an object of its headings. */
function row<R extends BuiltIn>(resource: R, object: Objects[R]): Record<string, string | undefined> {
  const cells = rowOf(resource, object, now);
  assert.equal(cells.length, columnsOf(resource).length);
  return Object.fromEntries(columnsOf(resource).map((column, index) => [column.name, cells[index]]));
}

describe('api/printing', () => {
  const spans: readonly (readonly [seconds: number, text: string])[] = [
    [-10, '<invalid>'],
    [-1, '0s'],
    [0, '0s'],
    [119, '119s'],
    [120, '2m'],
    [150, '2m30s'],
    [599, '9m59s'],
    [600, '10m'],
    [3 * 3600 - 1, '179m'],
    [3 * 3600, '3h'],
    [3 * 3600 + 1800, '3h30m'],
    [8 * 3600, '8h'],
    [48 * 3600 - 1, '47h'],
    [48 * 3600, '2d'],
    [76 * 3600, '3d4h'],
    [8 * 86400, '8d'],
    [729 * 86400, '729d'],
    [730 * 86400, '2y'],
    [800 * 86400, '2y70d'],
    [9 * 365 * 86400, '9y'],
  ];
  for (const [seconds, text] of spans)
    it(`says ${text} for ${seconds} s`, () => {
      assert.equal(durationText(seconds * 1000), text);
      assert.equal(ageOf(0, seconds * 1000), text);
    });
  it('says so when it does not know', () => {
    assert.deepEqual(
      [ageOfTime(undefined, 0), ageOfTime(null, 0), ageOfTime('x', 0)],
      ['<unknown>', '<unknown>', '<unknown>'],
    );
  });

  const status = (more: Partial<ContainerStatus>, name = 'main'): ContainerStatus => ({
    name,
    image: '',
    imageID: '',
    ready: false,
    restartCount: 0,
    ...more,
  });
  const waiting = (reason: string): Partial<ContainerStatus> => ({ state: { waiting: { reason } } });
  const ended = (exitCode: number, more = {}): Partial<ContainerStatus> => ({
    state: { terminated: { exitCode, ...more } },
  });
  const running: Partial<ContainerStatus> = { ready: true, state: { running: {} } };
  const withStatus = (...list: ContainerStatus[]): PodOptions => ({
    phase: 'Running',
    spec: { containers: list.map(({ name }) => aContainer({ name })) },
    status: { containerStatuses: list },
  });
  const withInits = (total: number, ...list: ContainerStatus[]): PodOptions => ({
    spec: { initContainers: Array.from({ length: total }, (_, index) => aContainer({ name: `i${index}` })) },
    status: { initContainerStatuses: list },
  });
  const statuses: readonly (readonly [status: string, ready: string, PodOptions])[] = [
    ['Pending', '0/1', {}],
    ['SchedulingGated', '0/1', { spec: { schedulingGates: [{ name: 'quota' }] } }],
    ['Running', '1/1', { phase: 'Running' }],
    ['Running', '0/1', { phase: 'Running', ready: false }],
    ['Completed', '0/1', { phase: 'Succeeded' }],
    ['Error', '0/1', { phase: 'Failed' }],
    ['Evicted', '0/1', { status: { phase: 'Failed', reason: 'Evicted' } }],
    [
      'OutOfcpu',
      '0/1',
      {
        phase: 'Failed',
        status: { phase: 'Failed', reason: 'OutOfcpu', containerStatuses: [status(waiting('ContainerCreating'))] },
      },
    ],
    ['Terminating', '1/1', { phase: 'Running', deleted: true }],
    ['Completed', '0/1', { phase: 'Succeeded', deleted: true }],
    ['Unknown', '1/1', { phase: 'Running', deleted: true, status: { reason: 'NodeLost' } }],
    ['ContainerCreating', '0/1', withStatus(status(waiting('ContainerCreating')))],
    ['CrashLoopBackOff', '0/1', withStatus(status(waiting('CrashLoopBackOff')))],
    ['CrashLoopBackOff', '1/2', withStatus(status(running, 'a'), status(waiting('CrashLoopBackOff'), 'b'))],
    ['ErrImagePull', '0/2', withStatus(status(waiting('ErrImagePull'), 'a'), status(waiting('CrashLoopBackOff'), 'b'))],
    ['OOMKilled', '0/1', withStatus(status(ended(137, { reason: 'OOMKilled' })))],
    ['ExitCode:3', '0/1', withStatus(status(ended(3)))],
    ['Signal:9', '0/1', withStatus(status(ended(137, { signal: 9 })))],
    [
      'NotReady',
      '1/2',
      { ...withStatus(status(running, 'a'), status(ended(0, { reason: 'Completed' }), 'b')), ready: false },
    ],
    [
      'Running',
      '1/2',
      { ...withStatus(status(running, 'a'), status(ended(0, { reason: 'Completed' }), 'b')), ready: true },
    ],
    [
      'Init:0/2',
      '0/1',
      withInits(2, status({ state: { running: {} } }, 'i0'), status(waiting('PodInitializing'), 'i1')),
    ],
    ['Init:1/2', '0/1', withInits(2, status(ended(0), 'i0'), status(waiting('PodInitializing'), 'i1'))],
    ['Init:CrashLoopBackOff', '0/1', withInits(1, status(waiting('CrashLoopBackOff'), 'i0'))],
    ['Init:Error', '0/1', withInits(1, status(ended(1, { reason: 'Error' }), 'i0'))],
    ['Init:ExitCode:1', '0/1', withInits(1, status(ended(1), 'i0'))],
    ['Init:Signal:9', '0/1', withInits(1, status(ended(1, { signal: 9 }), 'i0'))],
    ['Pending', '0/1', withInits(1, status(ended(0), 'i0'))],
    [
      'Running',
      '2/2',
      {
        phase: 'Running',
        spec: { initContainers: [aContainer({ name: 's', restartPolicy: 'Always' })] },
        status: { initContainerStatuses: [status({ ...running, started: true }, 's')] },
      },
    ],
  ];
  for (const [word, ready, options] of statuses)
    it(`calls a pod ${word} ${ready}`, () => {
      const cells = row('pods', aPod(options));
      assert.deepEqual([cells['Status'], cells['Ready']], [word, ready]);
    });

  it('counts restarts and says when the last was', () => {
    const restarted = (restartCount: number, finishedAt?: string): ContainerStatus =>
      status({
        ...running,
        restartCount,
        ...(finishedAt === undefined ? {} : { lastState: { terminated: { exitCode: 1, finishedAt } } }),
      });
    const cell = (...list: ContainerStatus[]): string | undefined => row('pods', aPod(withStatus(...list)))['Restarts'];
    assert.equal(cell(restarted(0)), '0');
    assert.equal(cell(restarted(3)), '3');
    assert.equal(cell(restarted(3, '2026-01-01T00:00:00Z'), restarted(1, '2026-01-01T00:03:00Z')), '4 (2m ago)');
  });

  it('shows where a pod is', () => {
    const cells = row('pods', aPod({ name: 'a', nodeName: 'n1', ip: '10.0.0.1' }));
    assert.deepEqual(cells, {
      Name: 'a',
      Ready: '1/1',
      Status: 'Running',
      Restarts: '0',
      Age: '5m',
      IP: '10.0.0.1',
      Node: 'n1',
      'Nominated Node': '<none>',
      'Readiness Gates': '<none>',
    });
  });

  it('shows replica sets and deployments', () => {
    const selector = { matchLabels: { app: 'web' }, matchExpressions: [{ key: 'a', operator: 'Exists' as const }] };
    const running = { Age: '5m', Containers: 'main', Images: 'example/web:1', Selector: 'a,app=web' };
    assert.deepEqual(
      row('replicasets', aReplicaSet({ replicas: 3, selector, status: { replicas: 2, readyReplicas: 1 } })),
      { Name: 'web', Desired: '3', Current: '2', Ready: '1', ...running },
    );
    const status = { replicas: 4, readyReplicas: 2, updatedReplicas: 1, availableReplicas: 2 };
    assert.deepEqual(row('deployments', aDeployment({ spec: { selector }, status })), {
      ...{ Name: 'web', Ready: '2/3', 'Up-to-date': '1', Available: '2' },
      ...running,
    });
  });

  it('shows replication controllers', () =>
    assert.deepEqual(
      row(
        'replicationcontrollers',
        anRc({ replicas: 3, selector: { b: 'y', a: 'x' }, status: { replicas: 2, readyReplicas: 1 } }),
      ),
      {
        Name: 'web',
        Desired: '3',
        Current: '2',
        Ready: '1',
        Age: '5m',
        Containers: 'main',
        Images: 'example/web:1',
        Selector: 'a=x,b=y',
      },
    ));

  const services: readonly (readonly [clusterIP: string, externalIP: string, ports: string, Objects['services']])[] = [
    ['10.96.0.20', '<none>', '80/TCP', aService()],
    ['None', '<none>', '<none>', aService({ clusterIP: 'None', ports: [] })],
    [
      '10.96.0.20',
      '192.0.2.1',
      '80:30080/TCP,53/UDP',
      aService({
        ports: [
          { port: 80, nodePort: 30080 },
          { port: 53, protocol: 'UDP' },
        ],
        spec: { externalIPs: ['192.0.2.1'], type: 'NodePort' },
      }),
    ],
    ['10.96.0.20', '<pending>', '80/TCP', aService({ spec: { type: 'LoadBalancer' } })],
    [
      '10.96.0.20',
      '192.0.2.9,lb.example.com,192.0.2.1',
      '80/TCP',
      {
        ...aService({ spec: { type: 'LoadBalancer', externalIPs: ['192.0.2.1'] } }),
        status: { loadBalancer: { ingress: [{ ip: '192.0.2.9', ipMode: 'Proxy' }, { hostname: 'lb.example.com' }] } },
      },
    ],
    [
      '<none>',
      'db.example.com',
      '<none>',
      aService({ clusterIP: '', ports: [], spec: { type: 'ExternalName', externalName: 'db.example.com' } }),
    ],
  ];
  for (const [clusterIP, externalIP, ports, service] of services)
    it(`shows a ${service.spec.type} service at ${clusterIP}`, () => {
      const cells = row('services', service);
      assert.deepEqual(
        [cells['Cluster-IP'], cells['External-IP'], cells['Port(s)'], cells['Selector']],
        [clusterIP, externalIP, ports, 'app=web'],
      );
    });
  it('shows the addresses of a load balancer', () => {
    const service = aService({ spec: { type: 'LoadBalancer' } });
    assert.equal(
      row('services', { ...service, status: { loadBalancer: { ingress: [{ ip: '192.0.2.9' }] } } })['External-IP'],
      '192.0.2.9',
    );
  });

  it('shows the first endpoints and how many more', () => {
    const cell = (ips: readonly string[]): string | undefined => row('endpoints', anEndpoints({ ips }))['Endpoints'];
    assert.equal(cell([]), '<none>');
    assert.equal(cell(['10.0.0.1', '10.0.0.2']), '10.0.0.1:80,10.0.0.2:80');
    assert.equal(
      cell(['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5']),
      '10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more...',
    );
    assert.equal(row('endpoints', anEndpoints({ notReadyIps: ['10.0.0.1'] }))['Endpoints'], '<none>');
  });

  it('shows nodes', () => {
    assert.deepEqual(
      row(
        'nodes',
        aNode({
          labels: { 'node-role.kubernetes.io/control-plane': '', 'node-role.kubernetes.io/a': '' },
          unschedulable: true,
        }),
      ),
      {
        Name: 'n1',
        Status: 'Ready,SchedulingDisabled',
        Roles: 'a,control-plane',
        Age: '5m',
        Version: '',
        'Internal-IP': '192.0.2.10',
        'External-IP': '<none>',
        'OS-Image': '<unknown>',
        'Kernel-Version': '<unknown>',
        'Container-Runtime': '<unknown>',
      },
    );
    assert.equal(row('nodes', aNode({ ready: false }))['Status'], 'NotReady');
    assert.equal(row('nodes', aNode({ ready: 'Unknown' }))['Status'], 'NotReady');
    assert.equal(row('nodes', { ...aNode(), status: {} })['Status'], 'Unknown');
  });

  it('shows events', () =>
    assert.deepEqual(row('events', anEvent({ reason: 'Killing', message: 'Stopping it\n', count: 4 })), {
      'Last Seen': '5m',
      Type: 'Normal',
      Reason: 'Killing',
      Object: 'pod/web-1',
      Subobject: '',
      Source: 'scheduler',
      Message: 'Stopping it',
      'First Seen': '5m',
      Count: '4',
      Name: 'web-1.1a2b3c',
    }));

  it('shows the small kinds', () => {
    const { metadata } = aNamespace();
    const named = { ...metadata, name: 'x', namespace: 'default' };
    assert.deepEqual(row('namespaces', aNamespace()), { Name: 'default', Status: 'Active', Age: '5m' });
    assert.deepEqual(
      row('leases', {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: named,
        spec: { holderIdentity: 'me' },
      }),
      { Name: 'x', Holder: 'me', Age: '5m' },
    );
    assert.deepEqual(
      row('configmaps', {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: named,
        data: { a: '' },
        binaryData: { b: '' },
      }),
      { Name: 'x', Data: '2', Age: '5m' },
    );
    assert.deepEqual(row('secrets', { apiVersion: 'v1', kind: 'Secret', metadata: named, type: 'Opaque' }), {
      Name: 'x',
      Type: 'Opaque',
      Data: '0',
      Age: '5m',
    });
  });

  it('shows disks, claims and classes', () => {
    const ref = { namespace: 'default', name: 'data', uid: 'u' };
    assert.deepEqual(
      row(
        'persistentvolumes',
        aVolume({ modes: ['ReadOnlyMany', 'ReadWriteOnce'], claimRef: ref, className: 'local' }),
      ),
      {
        ...{ Name: 'disk', Capacity: '1Gi', 'Access Modes': 'RWO,ROX', 'Reclaim Policy': 'Retain', Status: 'Bound' },
        ...{ Claim: 'default/data', StorageClass: 'local', VolumeAttributesClass: '<unset>', Reason: '', Age: '5m' },
        VolumeMode: 'Filesystem',
      },
    );
    const pending = { Name: 'data', Status: 'Pending', Volume: '', Capacity: '', 'Access Modes': '', StorageClass: '' };
    const always = { VolumeAttributesClass: '<unset>', Age: '5m', VolumeMode: 'Filesystem' };
    assert.deepEqual(row('persistentvolumeclaims', aClaim()), { ...pending, ...always });
    assert.deepEqual(row('persistentvolumeclaims', aClaim({ volumeName: 'disk', deleted: true })), {
      ...{ ...pending, Status: 'Terminating', Volume: 'disk', Capacity: '1Gi', 'Access Modes': 'RWO' },
      ...always,
    });
    assert.deepEqual(row('storageclasses', aClass({ isDefault: true })), {
      ...{ Name: 'local (default)', Provisioner: 'troupe.dev/local', ReclaimPolicy: 'Delete' },
      ...{ VolumeBindingMode: 'WaitForFirstConsumer', AllowVolumeExpansion: 'false', Age: '5m' },
    });
  });

  it('has a name, an age or a last-seen column for every kind', () => {
    for (const resource of resources) {
      const columns = columnsOf(resource);
      assert.ok(
        columns.some((column) => column.name === 'Name'),
        resource,
      );
      if (resource === 'podtemplates') continue; // clients know them without
      assert.ok(
        columns.some((column) => column.priority === 0 && ['Age', 'Last Seen', 'Created At'].includes(column.name)),
        resource,
      );
    }
  });
});
