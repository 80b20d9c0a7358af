import assert from 'node:assert/strict';
import { checkFields } from '../../../lib/api/codec/fields.ts';
import { applyDefaults, dropCarried, keepAssigned } from '../../../lib/api/defaults/index.ts';
import { copyJson, type Json, type MutableJson } from '../../../lib/api/json.ts';
import { kinds, resources, type BuiltIn } from '../../../lib/api/kinds.ts';

/** The draft with its defaults; applying them twice is checked on the way. */
function filledIn(resource: BuiltIn, draft: Json): MutableJson {
  const object = copyJson(draft) as MutableJson;
  applyDefaults(resource, object);
  const again = copyJson(object);
  applyDefaults(resource, again);
  assert.deepEqual(again, object, 'a second time changes nothing');
  return object;
}

/** As `defaulted`, for a draft that keeps to the schema: so must what is filled in. */
function defaulted(resource: BuiltIn, draft: Json): MutableJson {
  const object = filledIn(resource, draft);
  const before = checkFields(kinds[resource].kind, draft);
  assert.deepEqual(checkFields(kinds[resource].kind, object), before, 'only fields of the schema are filled in');
  return object;
}
const specOf = (resource: BuiltIn, spec: Json): Json =>
  defaulted(resource, { metadata: { name: 'x' }, spec })['spec'] as Json;
const containerOf = (container: Json, spec: Json = {}): Json =>
  (specOf('pods', { ...spec, containers: [container] })['containers'] as Json[])[0] ?? {};

describe('api/defaults', () => {
  it('fills in a whole pod', () => {
    assert.deepEqual(
      defaulted('pods', {
        metadata: { name: 'web', creationTimestamp: null },
        spec: { containers: [{ name: 'a', image: 'web:1' }] },
      }),
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'web' },
        spec: {
          containers: [
            {
              name: 'a',
              image: 'web:1',
              terminationMessagePath: '/dev/termination-log',
              terminationMessagePolicy: 'File',
              imagePullPolicy: 'IfNotPresent',
              resources: {},
            },
          ],
          restartPolicy: 'Always',
          terminationGracePeriodSeconds: 30,
          dnsPolicy: 'ClusterFirst',
          schedulerName: 'default-scheduler',
          securityContext: {},
          enableServiceLinks: true,
          tolerations: [
            { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 5 },
            { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 5 },
          ],
        },
        status: { phase: 'Pending', qosClass: 'BestEffort' },
      },
    );
  });

  const policies: readonly (readonly [string, string])[] = [
    ['web', 'Always'],
    ['web:latest', 'Always'],
    ['web:1', 'IfNotPresent'],
    ['registry:5000/web', 'Always'],
    ['registry:5000/web:1', 'IfNotPresent'],
    ['registry:5000/web:latest', 'Always'],
    ['web@sha256:0123', 'IfNotPresent'],
    ['web:latest@sha256:0123', 'Always'],
  ];
  for (const [image, want] of policies)
    it(`pulls ${image}: ${want}`, () => assert.equal(containerOf({ name: 'a', image })['imagePullPolicy'], want));

  it('keeps what is given', () => {
    const given = {
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 0,
      dnsPolicy: 'Default',
      enableServiceLinks: false,
      schedulerName: 'mine',
    };
    const spec = specOf('pods', given);
    for (const [field, value] of Object.entries(given)) assert.equal(spec[field], value);
  });

  it('asks for as much as is allowed when nothing is asked, and writes amounts one way', () => {
    assert.deepEqual(
      containerOf({ resources: { limits: { cpu: 0.5, memory: '1024Mi' }, requests: { memory: '0.5Gi' } } })[
        'resources'
      ],
      {
        limits: { cpu: '500m', memory: '1Gi' },
        requests: { cpu: '500m', memory: '512Mi' },
      },
    );
    assert.deepEqual(containerOf({ resources: { requests: { cpu: '0.0001' } } })['resources'], {
      requests: { cpu: '1m' },
    });
  });

  const classes: readonly (readonly [string, readonly Json[]])[] = [
    ['BestEffort', [{}]],
    ['BestEffort', [{ requests: { cpu: '0' } }]],
    ['Burstable', [{ requests: { cpu: '1' } }]],
    ['Burstable', [{ limits: { cpu: '1' } }]],
    ['Burstable', [{ limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } }]],
    ['Burstable', [{ limits: { cpu: '1', memory: '1Gi' } }, {}]],
    ['Guaranteed', [{ limits: { cpu: '1', memory: '1Gi' } }]],
    ['Guaranteed', [{ limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1000m', memory: '1024Mi' } }]],
  ];
  for (const [want, list] of classes)
    it(`calls ${JSON.stringify(list)} ${want}`, () => {
      const pod = defaulted('pods', { spec: { containers: list.map((resources) => ({ resources })) } });
      assert.equal((pod['status'] as Json)['qosClass'], want);
    });

  it('fills in ports, on the host network with the host port', () => {
    const ports = [{ containerPort: 80 }, { containerPort: 53, protocol: 'UDP', hostPort: 53 }];
    assert.deepEqual(containerOf({ ports })['ports'], [
      { containerPort: 80, protocol: 'TCP' },
      { containerPort: 53, protocol: 'UDP', hostPort: 53 },
    ]);
    assert.deepEqual(containerOf({ ports }, { hostNetwork: true })['ports'], [
      { containerPort: 80, protocol: 'TCP', hostPort: 80 },
      { containerPort: 53, protocol: 'UDP', hostPort: 53 },
    ]);
  });

  it('fills in probes and handlers', () => {
    const container = containerOf({
      livenessProbe: { httpGet: { port: 80 }, periodSeconds: 3 },
      readinessProbe: { exec: { command: ['true'] }, timeoutSeconds: 0 },
      lifecycle: { preStop: { httpGet: { port: 80, scheme: 'HTTPS' } } },
    });
    const rest = { timeoutSeconds: 1, successThreshold: 1, failureThreshold: 3 };
    assert.deepEqual(container['livenessProbe'], {
      httpGet: { port: 80, path: '/', scheme: 'HTTP' },
      periodSeconds: 3,
      ...rest,
    });
    assert.deepEqual(container['readinessProbe'], { exec: { command: ['true'] }, periodSeconds: 10, ...rest });
    assert.deepEqual(container['lifecycle'], { preStop: { httpGet: { port: 80, scheme: 'HTTPS', path: '/' } } });
  });

  it('fills in references of variables', () => {
    const env = [
      { name: 'A', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      { name: 'B', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
    ];
    assert.deepEqual(containerOf({ env })['env'], [
      { name: 'A', valueFrom: { fieldRef: { fieldPath: 'metadata.name', apiVersion: 'v1' } } },
      { name: 'B', valueFrom: { resourceFieldRef: { resource: 'limits.cpu', divisor: '1' } } },
    ]);
  });

  it('fills in volumes', () => {
    const volumes = [
      { name: 'a' },
      { name: 'b', emptyDir: { sizeLimit: '1024Mi' } },
      { name: 'c', configMap: { name: 'x' } },
      { name: 'd', secret: { secretName: 'x', defaultMode: 256 } },
      { name: 'e', hostPath: { path: '/x' } },
      { name: 'f', csi: { driver: 'x' } },
    ];
    assert.deepEqual(specOf('pods', { volumes, containers: [] })['volumes'], [
      { name: 'a', emptyDir: {} },
      { name: 'b', emptyDir: { sizeLimit: '1Gi' } },
      { name: 'c', configMap: { name: 'x', defaultMode: 420 } },
      { name: 'd', secret: { secretName: 'x', defaultMode: 256 } },
      { name: 'e', hostPath: { path: '/x' } },
      { name: 'f', csi: { driver: 'x' } },
    ]);
  });

  it('adds only the tolerations that nothing covers', () => {
    const keys = (tolerations: unknown): unknown[] =>
      (specOf('pods', { tolerations, containers: [] })['tolerations'] as Json[]).map((each) => each['key'] ?? '*');
    const [notReady, unreachable] = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'];
    assert.deepEqual(keys(undefined), [notReady, unreachable]);
    assert.deepEqual(keys([{ operator: 'Exists' }]), ['*']);
    assert.deepEqual(keys([{ key: 'x', effect: 'NoExecute' }]), ['x', notReady, unreachable]);
    assert.deepEqual(keys([{ key: notReady, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 60 }]), [
      notReady,
      unreachable,
    ]);
    assert.deepEqual(keys([{ key: notReady, operator: 'Exists', effect: 'NoSchedule' }]), [
      notReady,
      notReady,
      unreachable,
    ]);
  });

  it('mirrors the old name of the service account', () => {
    for (const field of ['serviceAccount', 'serviceAccountName']) {
      const spec = specOf('pods', { [field]: 'robot', containers: [] });
      assert.deepEqual([spec['serviceAccount'], spec['serviceAccountName']], ['robot', 'robot']);
    }
  });

  it('takes selector and labels of a ReplicationController from its template', () => {
    const template = {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'a', image: 'x:1', resources: { limits: { cpu: 1 } } }] },
    };
    const rc = defaulted('replicationcontrollers', { metadata: { name: 'web' }, spec: { template } });
    assert.deepEqual(rc['metadata'], { name: 'web', labels: { app: 'web' } });
    const spec = rc['spec'] as Json;
    assert.equal(spec['replicas'], 1);
    assert.deepEqual(spec['selector'], { app: 'web' });
    assert.deepEqual(rc['status'], { replicas: 0 });
    const podSpec = (spec['template'] as Json)['spec'] as Json;
    assert.equal(podSpec['restartPolicy'], 'Always');
    assert.equal(podSpec['tolerations'], undefined, 'a template stays as it was written');
    const given = specOf('replicationcontrollers', { replicas: 0, selector: { a: 'b' }, template });
    assert.deepEqual([given['replicas'], given['selector']], [0, { a: 'b' }]);
  });

  it('fills in replica sets and deployments, whose selector stays as it is', () => {
    const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'a', image: 'b:1' }] } };
    const set = defaulted('replicasets', { metadata: { name: 'web' }, spec: { template } });
    assert.deepEqual([set['metadata'], set['status']], [{ name: 'web' }, { replicas: 0 }]);
    const spec = set['spec'] as Json;
    assert.deepEqual([spec['replicas'], spec['selector']], [1, undefined]);
    assert.equal(((spec['template'] as Json)['spec'] as Json)['restartPolicy'], 'Always');
    const { template: _, ...rest } = specOf('deployments', { template });
    assert.deepEqual(rest, {
      replicas: 1,
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } },
    });
    assert.deepEqual(specOf('deployments', { strategy: { type: 'Recreate' } })['strategy'], { type: 'Recreate' });
    assert.deepEqual(specOf('deployments', { strategy: { rollingUpdate: { maxSurge: 0 } } })['strategy'], {
      type: 'RollingUpdate',
      rollingUpdate: { maxSurge: 0, maxUnavailable: '25%' },
    });
  });

  it('fills in services', () => {
    assert.deepEqual(specOf('services', { ports: [{ port: 80 }, { port: 53, protocol: 'UDP', targetPort: 'dns' }] }), {
      type: 'ClusterIP',
      sessionAffinity: 'None',
      ports: [
        { port: 80, protocol: 'TCP', targetPort: 80 },
        { port: 53, protocol: 'UDP', targetPort: 'dns' },
      ],
      internalTrafficPolicy: 'Cluster',
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
    });
    assert.deepEqual(specOf('services', { type: 'ExternalName', externalName: 'x.org' }), {
      type: 'ExternalName',
      externalName: 'x.org',
      sessionAffinity: 'None',
    });
    const balanced = specOf('services', {
      type: 'LoadBalancer',
      sessionAffinity: 'ClientIP',
      clusterIP: '10.96.0.9',
      ports: [],
    });
    assert.deepEqual(balanced['sessionAffinityConfig'], { clientIP: { timeoutSeconds: 10800 } });
    assert.equal(balanced['externalTrafficPolicy'], 'Cluster');
    assert.equal(balanced['allocateLoadBalancerNodePorts'], true);
    assert.deepEqual(balanced['clusterIPs'], ['10.96.0.9']);
    assert.equal(specOf('services', { clusterIPs: ['None'] })['clusterIP'], 'None');
    assert.equal('sessionAffinityConfig' in specOf('services', { sessionAffinityConfig: { clientIP: {} } }), false);
  });

  it('folds stringData into data', () => {
    assert.deepEqual(
      defaulted('secrets', {
        metadata: { name: 's' },
        data: { a: 'AA==', b: 'BB==' },
        stringData: { b: 'plain', c: 'ä' },
      }),
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 's' },
        type: 'Opaque',
        data: { a: 'AA==', b: Buffer.from('plain').toString('base64'), c: Buffer.from('ä').toString('base64') },
      },
    );
  });

  it('fills in namespaces, but never puts the finalizer back on one that ends', () => {
    const living = defaulted('namespaces', { metadata: { name: 'a' } });
    assert.deepEqual(living['spec'], { finalizers: ['kubernetes'] });
    assert.deepEqual(living['status'], { phase: 'Active' });
    assert.deepEqual((living['metadata'] as Json)['labels'], { 'kubernetes.io/metadata.name': 'a' });
    assert.deepEqual(defaulted('namespaces', { metadata: { name: 'a' }, spec: { finalizers: [] } })['spec'], {
      finalizers: [],
    });
    const ending = defaulted('namespaces', { metadata: { name: 'a', deletionTimestamp: '2026-01-01T00:00:00Z' } });
    assert.deepEqual([ending['spec'], ending['status']], [{}, { phase: 'Terminating' }]);
  });

  it('lets a node give all it has', () => {
    const node = defaulted('nodes', {
      metadata: { name: 'n' },
      spec: { podCIDR: '10.244.1.0/24' },
      status: { capacity: { cpu: 4, memory: '1048576Ki' } },
    });
    assert.deepEqual(node['status'], {
      capacity: { cpu: '4', memory: '1Gi' },
      allocatable: { cpu: '4', memory: '1Gi' },
    });
    assert.deepEqual(node['spec'], { podCIDR: '10.244.1.0/24', podCIDRs: ['10.244.1.0/24'] });
  });

  it('fills in the ports of endpoints', () =>
    assert.deepEqual(
      defaulted('endpoints', { metadata: { name: 'e' }, subsets: [{ ports: [{ port: 80 }] }] })['subsets'],
      [{ ports: [{ port: 80, protocol: 'TCP' }] }],
    ));

  it('names the group of a lease', () => assert.equal(defaulted('leases', {})['apiVersion'], 'coordination.k8s.io/v1'));

  it('survives any shape', () => {
    const odd = [null, 1, 'x', [], {}, [null], [1], { x: 1 }];
    for (const resource of resources)
      for (const value of odd)
        for (const field of ['metadata', 'spec', 'status', 'data', 'stringData', 'subsets'])
          filledIn(resource, { [field]: value });
    for (const value of odd)
      for (const field of [
        'containers',
        'initContainers',
        'volumes',
        'tolerations',
        'template',
        'ports',
        'securityContext',
        'podCIDRs',
        'selector',
      ])
        for (const resource of ['pods', 'replicationcontrollers', 'services', 'nodes'] as const)
          filledIn(resource, { spec: { [field]: value } });
    for (const value of odd)
      for (const field of ['ports', 'env', 'resources', 'livenessProbe', 'lifecycle', 'image'])
        filledIn('pods', { spec: { containers: [{ [field]: value }] } });
  });

  it('keeps what the cluster assigned through an update that leaves it out', () => {
    const port = { port: 80, protocol: 'TCP', nodePort: 30080 };
    const before = { spec: { type: 'NodePort', clusterIP: '10.96.0.7', clusterIPs: ['10.96.0.7'], ports: [port] } };
    const kept = (spec: Json): unknown => {
      const next: MutableJson = { spec: copyJson(spec) };
      dropCarried('services', next, before);
      keepAssigned('services', next, before);
      return next['spec'];
    };
    assert.deepEqual(kept({ type: 'NodePort', ports: [{ port: 80, protocol: 'TCP' }] }), before.spec);
    assert.deepEqual(kept({ type: 'ClusterIP', ports: [] }), {
      type: 'ClusterIP',
      clusterIP: '10.96.0.7',
      clusterIPs: ['10.96.0.7'],
      ports: [],
    });
    assert.deepEqual(kept({ type: 'ExternalName', externalName: 'x' }), { type: 'ExternalName', externalName: 'x' });
    assert.deepEqual(kept({ clusterIP: 'None' }), { type: 'ClusterIP', clusterIP: 'None' });
    const carried = { ...before.spec, type: 'ClusterIP' };
    assert.deepEqual(kept(carried), { ...carried, ports: [{ port: 80, protocol: 'TCP' }] });
    assert.deepEqual(kept({ ...before.spec, type: 'ExternalName', externalName: 'x' }), {
      type: 'ExternalName',
      externalName: 'x',
      ports: [{ port: 80, protocol: 'TCP' }],
    });
    const pod: MutableJson = { spec: { containers: [] } };
    keepAssigned('pods', pod, { spec: { nodeName: 'n1' } });
    assert.deepEqual(pod, { spec: { containers: [], nodeName: 'n1' } });
  });
});
