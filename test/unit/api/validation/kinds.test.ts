import type { Json } from '../../../../lib/api/json.ts';
import type { Resource } from '../../../../lib/api/kinds.ts';
import { validateStatusUpdate, validateUpdate } from '../../../../lib/api/validation/index.ts';
import { aNamespace, aNode, anEndpoints, anEvent, anRc, aPod, aService } from '../../../support/builders.ts';
import { changed } from '../../../support/changed.ts';
import { expectCauses, rows, short } from './rows.ts';

type Check = typeof validateUpdate;
type Change = readonly [next: Json, previous: Json, field?: string, message?: string | RegExp];

function changes(check: Check, resource: Resource, valid: object, list: readonly Change[]): void {
  for (const [next, previous, field, message] of list)
    it(`${field === undefined ? 'takes' : 'refuses'} ${short(next)} after ${short(previous)}`, () =>
      expectCauses(check(resource, changed(valid, next), changed(valid, previous)), field, message));
}

describe('api/validation: replicationcontroller', () => {
  const template = 'spec.template';
  rows('replicationcontrollers', anRc(), [
    [{ 'spec.replicas': 0 }],
    [{ 'spec.replicas': -1 }, 'spec.replicas', 'between 0 and'],
    [{ 'spec.minReadySeconds': -1 }, 'spec.minReadySeconds', 'between 0 and'],
    [{ 'spec.template': undefined }, 'spec.template', 'Required value'],
    [{ 'spec.selector': undefined }],
    [{ 'spec.selector': {}, [`${template}.metadata`]: undefined }, 'spec.selector', 'Required value'],
    [{ 'spec.selector': { app: 'web' }, [`${template}.metadata.labels`]: { app: 'web', more: 'x' } }],
    [
      { 'spec.selector': { app: 'other' } },
      `${template}.metadata.labels`,
      '`selector` does not match template `labels`: app=other is missing',
    ],
    [{ [`${template}.metadata.labels`]: undefined }, `${template}.metadata.labels`, 'app=web is missing'],
    [
      { [`${template}.metadata.labels`]: { app: 'web', 'a b': 'c' } },
      `${template}.metadata.labels`,
      'a space at position 2',
    ],
    [
      { [`${template}.spec.restartPolicy`]: 'Never' },
      `${template}.spec.restartPolicy`,
      'Unsupported value: "Never": supported values: "Always"',
    ],
    [{ [`${template}.spec.activeDeadlineSeconds`]: 5 }, `${template}.spec.activeDeadlineSeconds`, 'not Supported'],
    [{ [`${template}.spec.containers[0].image`]: '' }, `${template}.spec.containers[0].image`, 'Required value'],
    [
      { [`${template}.spec.containers[0].resources`]: { requests: { cpu: '2' }, limits: { cpu: '1' } } },
      `${template}.spec.containers[0].resources.requests`,
      'cpu limit of 1',
    ],
  ]);
  describe('status', () =>
    changes(validateStatusUpdate, 'replicationcontrollers', anRc(), [
      [{ status: { replicas: 3, fullyLabeledReplicas: 3, readyReplicas: 2, availableReplicas: 1 } }, {}],
      [{ status: { replicas: -1 } }, {}, 'status.replicas', 'greater than or equal to 0'],
      [
        { status: { replicas: 1, fullyLabeledReplicas: 2 } },
        {},
        'status.fullyLabeledReplicas',
        'cannot be greater than status.replicas (1)',
      ],
      [
        { status: { replicas: 1, readyReplicas: 2 } },
        {},
        'status.readyReplicas',
        'cannot be greater than status.replicas (1)',
      ],
      [
        { status: { replicas: 2, readyReplicas: 1, availableReplicas: 2 } },
        {},
        'status.availableReplicas',
        'cannot be greater than status.readyReplicas (1)',
      ],
    ]));
});

describe('api/validation: service', () => {
  rows('services', aService(), [
    [{ 'spec.type': 'Magic' }, 'spec.type', 'Unsupported value: "Magic"'],
    [{ 'spec.clusterIP': 'None', 'spec.clusterIPs': ['None'], 'spec.ports': undefined }],
    [{ 'spec.clusterIP': '', 'spec.clusterIPs': undefined }],
    [
      { 'spec.clusterIP': '::1', 'spec.clusterIPs': undefined },
      'spec.clusterIP',
      "must be an IPv4 address, such as 10.9.8.7, or 'None'",
    ],
    [
      { 'spec.clusterIP': 'None', 'spec.clusterIPs': ['None'], 'spec.type': 'NodePort' },
      'spec.clusterIP',
      "may not be set to 'None' for NodePort services",
    ],
    [{ 'spec.clusterIPs': ['10.96.0.21'] }, 'spec.clusterIPs', 'first value must match `clusterIP`'],
    [{ 'spec.clusterIPs': ['10.96.0.20', '10.96.0.21'] }, 'spec.clusterIPs', 'one address'],
    [{ 'spec.ports': [] }, 'spec.ports', 'Required value'],
    [{ 'spec.ports': [{ port: 0, targetPort: 1 }] }, 'spec.ports[0].port', 'between 1 and 65535'],
    [{ 'spec.selector': { 'a b': 'c' } }, 'spec.selector', 'a space'],
    [{ 'spec.selector': undefined }],
    [
      {
        'spec.ports': [
          { port: 1, name: 'a' },
          { port: 65535, name: 'b' },
        ],
      },
    ],
    [{ 'spec.ports': [{ port: 65536, targetPort: 1 }] }, 'spec.ports[0].port', 'between 1 and 65535'],
    [{ 'spec.ports': [{ port: 80, targetPort: 65536 }] }, 'spec.ports[0].targetPort', 'between 1 and 65535'],
    [{ 'spec.ports': [{ port: 80, targetPort: 'http' }] }],
    [{ 'spec.ports': [{ port: 80, targetPort: 'HTTP' }] }, 'spec.ports[0].targetPort', "'H' at position 1"],
    [{ 'spec.ports': [{ port: 80, name: 'a' }, { port: 81 }] }, 'spec.ports[1].name', 'Required value'],
    [
      {
        'spec.ports': [
          { port: 80, name: 'a' },
          { port: 81, name: 'a' },
        ],
      },
      'spec.ports[1].name',
      'Duplicate value: "a"',
    ],
    [
      {
        'spec.ports': [
          { port: 80, name: 'a' },
          { port: 80, name: 'b' },
        ],
      },
      'spec.ports[1]',
      'Duplicate value: {"protocol":"TCP","port":80}',
    ],
    [
      {
        'spec.ports': [
          { port: 80, name: 'a' },
          { port: 80, name: 'b', protocol: 'UDP' },
        ],
      },
    ],
    [{ 'spec.ports': [{ port: 80, name: 'a'.repeat(63) }] }],
    [{ 'spec.ports': [{ port: 80, name: 'a'.repeat(64) }] }, 'spec.ports[0].name', '63'],
    [{ 'spec.ports': [{ port: 80, protocol: 'HTTP' }] }, 'spec.ports[0].protocol', 'Unsupported value'],
    [
      { 'spec.ports': [{ port: 80, nodePort: 30080 }] },
      'spec.ports[0].nodePort',
      "may not be used when `type` is 'ClusterIP'",
    ],
    [{ 'spec.type': 'NodePort', 'spec.ports': [{ port: 80, nodePort: 30080 }] }],
    [
      { 'spec.type': 'NodePort', 'spec.ports': [{ port: 80, nodePort: 70000 }] },
      'spec.ports[0].nodePort',
      'between 1 and 65535',
    ],
    [
      {
        'spec.type': 'NodePort',
        'spec.ports': [
          { port: 80, name: 'a', nodePort: 30080 },
          { port: 81, name: 'b', nodePort: 30080 },
        ],
      },
      'spec.ports[1].nodePort',
      'Duplicate value: 30080',
    ],
    [{ 'spec.sessionAffinity': 'ClientIP', 'spec.sessionAffinityConfig': { clientIP: { timeoutSeconds: 86400 } } }],
    [
      { 'spec.sessionAffinity': 'ClientIP', 'spec.sessionAffinityConfig': { clientIP: { timeoutSeconds: 86401 } } },
      'spec.sessionAffinityConfig.clientIP.timeoutSeconds',
      'between 1 and 86400',
    ],
    [{ 'spec.sessionAffinity': 'Cookie' }, 'spec.sessionAffinity', 'Unsupported value'],
    [{ 'spec.externalIPs': ['192.0.2.1'] }],
    [{ 'spec.externalIPs': ['127.0.0.1'] }, 'spec.externalIPs[0]', 'loopback'],
    [{ 'spec.externalIPs': ['x'] }, 'spec.externalIPs[0]', 'IPv4'],
    [{ 'spec.internalTrafficPolicy': 'Near' }, 'spec.internalTrafficPolicy', 'Unsupported value'],
    [{ 'spec.externalTrafficPolicy': 'Near' }, 'spec.externalTrafficPolicy', 'Unsupported value'],
    [{ 'spec.loadBalancerSourceRanges': ['10.0.0.0/8'] }],
    [{ 'spec.loadBalancerSourceRanges': ['10.0.0.0'] }, 'spec.loadBalancerSourceRanges[0]', 'IPv4 block'],
  ]);
  const external = { spec: { type: 'ExternalName', externalName: 'db.example.com' } };
  rows('services', changed(aService(), external), [
    [{}],
    [{ 'spec.externalName': 'db.example.com.' }],
    [{ 'spec.externalName': undefined }, 'spec.externalName', 'Required value'],
    [{ 'spec.externalName': 'A b' }, 'spec.externalName', 'subdomain'],
    [{ 'spec.clusterIP': '10.96.0.1' }, 'spec.clusterIP', "may not be set when `type` is 'ExternalName'"],
  ]);
  describe('updates', () =>
    changes(validateUpdate, 'services', aService(), [
      [{ 'spec.ports[0].port': 81 }, {}],
      [
        { 'spec.clusterIP': '10.96.0.21', 'spec.clusterIPs': ['10.96.0.21'] },
        {},
        'spec.clusterIP',
        'field is immutable',
      ],
      [{ 'spec.clusterIP': undefined, 'spec.clusterIPs': undefined }, {}, 'spec.clusterIP', 'field is immutable'],
      [
        {
          'spec.type': 'ExternalName',
          'spec.externalName': 'a',
          'spec.clusterIP': undefined,
          'spec.clusterIPs': undefined,
        },
        {},
      ],
      [{}, external],
    ]));
  describe('status', () =>
    changes(validateStatusUpdate, 'services', aService(), [
      [{ 'status.loadBalancer.ingress': [{ ip: '192.0.2.1' }, { hostname: 'lb.example.com' }] }, {}],
      [{ 'status.loadBalancer.ingress': [{ ip: 'x' }] }, {}, 'status.loadBalancer.ingress[0].ip', 'IPv4'],
    ]));
});

describe('api/validation: endpoints', () => {
  const address = 'subsets[0].addresses[0]';
  rows('endpoints', anEndpoints({ ips: ['10.0.0.1'] }), [
    [{ subsets: undefined }],
    [{ 'subsets[0].addresses': undefined }, 'subsets[0]', 'must specify `addresses` or `notReadyAddresses`'],
    [{ [`${address}.ip`]: undefined }, `${address}.ip`, 'Required value'],
    [{ [`${address}.ip`]: 'x' }, `${address}.ip`, 'IPv4'],
    [{ [`${address}.ip`]: '127.0.0.1' }, `${address}.ip`, 'loopback'],
    [{ [`${address}.ip`]: '169.254.0.1' }, `${address}.ip`, 'link-local'],
    [{ [`${address}.ip`]: '224.0.0.1' }, `${address}.ip`, 'multicast'],
    [{ [`${address}.hostname`]: 'a.b' }, `${address}.hostname`, 'RFC 1123 label'],
    [{ [`${address}.nodeName`]: 'A' }, `${address}.nodeName`, 'subdomain'],
    [{ 'subsets[0].notReadyAddresses': [{ ip: '0.0.0.0' }] }, 'subsets[0].notReadyAddresses[0].ip', 'unspecified'],
    [{ 'subsets[0].ports': undefined }],
    [{ 'subsets[0].ports': [{ port: 0 }] }, 'subsets[0].ports[0].port', 'between 1 and 65535'],
    [{ 'subsets[0].ports': [{ port: 1, name: 'a' }, { port: 2 }] }, 'subsets[0].ports[1].name', 'Required value'],
    [{ 'subsets[0].ports': [{ port: 1, protocol: 'X' }] }, 'subsets[0].ports[0].protocol', 'Unsupported value'],
  ]);
});

describe('api/validation: node', () => {
  rows('nodes', aNode(), [
    [{ 'spec.podCIDR': '10.244.1.0/24' }],
    [{ 'spec.podCIDR': 'x' }, 'spec.podCIDRs[0]', 'IPv4 block'],
    [{ 'spec.podCIDRs': ['10.244.1.0/24', '10.244.2.0/24'] }, 'spec.podCIDRs', 'one block'],
    [
      { 'spec.podCIDR': '10.244.1.0/24', 'spec.podCIDRs': ['10.244.2.0/24'] },
      'spec.podCIDRs',
      'first value must match `podCIDR`',
    ],
    [
      {
        'spec.taints': [
          { key: 'a', effect: 'NoSchedule' },
          { key: 'a', effect: 'NoExecute' },
        ],
      },
    ],
    [
      {
        'spec.taints': [
          { key: 'a', effect: 'NoSchedule' },
          { key: 'a', value: 'b', effect: 'NoSchedule' },
        ],
      },
      'spec.taints[1]',
      'Duplicate value: {"key":"a","effect":"NoSchedule"}',
    ],
    [{ 'spec.taints': [{ effect: 'NoSchedule' }] }, 'spec.taints[0].key', 'Required value'],
    [{ 'spec.taints': [{ key: 'a' }] }, 'spec.taints[0].effect', 'Required value'],
    [{ 'spec.taints': [{ key: 'a', effect: 'Never' }] }, 'spec.taints[0].effect', 'Unsupported value'],
    [{ 'spec.taints': [{ key: 'a', value: 'b c', effect: 'NoSchedule' }] }, 'spec.taints[0].value', 'a space'],
    [{ 'status.allocatable': { cpu: '-1' } }, 'status.allocatable[cpu]', 'greater than or equal to 0'],
    [{ 'status.addresses': [{ type: 'Carrier', address: 'pigeon' }] }, 'status.addresses[0].type', 'Unsupported value'],
    [{ 'status.addresses': [{ type: 'Hostname' }] }, 'status.addresses[0].address', 'Required value'],
  ]);
  describe('updates', () =>
    changes(validateUpdate, 'nodes', aNode(), [
      [{ 'spec.unschedulable': true, 'spec.podCIDR': '10.244.1.0/24' }, {}],
      [{ 'spec.podCIDR': '10.244.2.0/24' }, { 'spec.podCIDR': '10.244.1.0/24' }, 'spec.podCIDR', 'field is immutable'],
      [{}, { 'spec.providerID': 'x' }, 'spec.providerID', 'field is immutable'],
    ]));
});

describe('api/validation: namespace', () => {
  rows('namespaces', aNamespace(), [
    [{ 'spec.finalizers': ['kubernetes', 'example.com/a'] }],
    [{ 'spec.finalizers': ['mine'] }, 'spec.finalizers[0]', 'prefix'],
  ]);
  const deleting = { 'metadata.deletionTimestamp': '2026-01-01T00:00:00Z' };
  describe('status', () =>
    changes(validateStatusUpdate, 'namespaces', aNamespace(), [
      [{ 'status.phase': 'Active' }, {}],
      [{ 'status.phase': 'Terminating' }, deleting],
      [{ 'status.phase': 'Terminating' }, {}, 'status.phase', "may only be 'Active'"],
      [{ 'status.phase': 'Active' }, deleting, 'status.phase', "may only be 'Terminating'"],
    ]));
});

describe('api/validation: event and lease', () => {
  rows('events', anEvent(), [
    [{ reason: 'R'.repeat(128), message: 'm'.repeat(1024) }],
    [{ reason: 'R'.repeat(129) }, 'reason', 'Too long: may not be more than 128 characters, and this has 129'],
    [{ message: 'm'.repeat(1025) }, 'message', 'Too long: may not be more than 1024 characters'],
    [{ type: 'Loud' }, 'type', 'Unsupported value'],
    [{ 'involvedObject.namespace': 'other' }, 'involvedObject.namespace', 'does not match event.namespace "default"'],
    [{ involvedObject: undefined }, 'involvedObject', 'Required value'],
    [{ 'involvedObject.namespace': undefined }],
    [
      { 'metadata.namespace': 'kube-system', 'involvedObject.namespace': undefined },
      'involvedObject.namespace',
      'events about objects of the whole cluster are in "default"',
    ],
  ]);
  rows('events', anEvent({ about: aNode() }), [[{}]]);
  rows('leases', { metadata: aPod().metadata, spec: { holderIdentity: 'a', leaseDurationSeconds: 1 } }, [
    [{}],
    [{ 'spec.leaseDurationSeconds': 0 }, 'spec.leaseDurationSeconds', 'greater than or equal to 1'],
    [{ 'spec.leaseTransitions': -1 }, 'spec.leaseTransitions', 'greater than or equal to 0'],
  ]);
});

describe('api/validation: configmap and secret', () => {
  const mebibyte = 1024 * 1024;
  const { metadata } = aPod();
  const map = { metadata, data: { a: 'b' } };
  const secret = { metadata, data: { a: 'AA==' } };
  rows('configmaps', map, [
    [{ data: { ['k'.repeat(253)]: '' } }],
    [{ data: { ['k'.repeat(254)]: '' } }, `data[${'k'.repeat(254)}]`, '253'],
    [{ data: { 'a/b': '' } }, 'data[a/b]', "'/' at position 2"],
    [{ data: { x: 'v'.repeat(mebibyte) } }],
    [
      { data: { x: 'v'.repeat(mebibyte), y: 'v' } },
      '',
      'Too long: may not be more than 1048576 bytes, and this has 1048577',
    ],
    [{ binaryData: { b: 'AA==' } }],
    [{ binaryData: { a: 'AA==' } }, 'data[a]', 'duplicate of key present in binaryData'],
    [{ binaryData: { b: 'A' } }, 'binaryData[b]', 'base64'],
  ]);
  rows('secrets', secret, [
    [{}],
    [{ 'data.a': '***' }, 'data[a]', 'base64'],
    [{ 'data."a b"': 'AA==' }, 'data[a b]', 'a space'],
    [{ data: { a: Buffer.alloc(mebibyte + 1).toString('base64') } }, 'data', 'Too long'],
    [{ type: 'kubernetes.io/tls', 'data."tls.crt"': 'AA==' }, 'data[tls.key]', 'Required value'],
    [{ type: 'kubernetes.io/ssh-auth' }, 'data[ssh-privatekey]', 'Required value'],
    [{ type: 'kubernetes.io/basic-auth' }, 'data[username]', 'username, password or both'],
    [{ type: 'kubernetes.io/basic-auth', 'data.password': '' }],
  ]);
  describe('updates', () => {
    changes(validateUpdate, 'configmaps', map, [
      [{ 'data.a': 'c', immutable: true }, {}],
      [{ immutable: true, 'metadata.labels': { a: 'b' } }, { immutable: true }],
      [{ immutable: true, 'data.a': 'c' }, { immutable: true }, 'data', 'field is immutable when `immutable` is set'],
      [{}, { immutable: true }, 'immutable', 'field is immutable when `immutable` is set'],
    ]);
    changes(validateUpdate, 'secrets', secret, [
      [{ type: 'Opaque', 'data.a': 'BB==' }, { type: 'Opaque' }],
      [{ type: 'mine' }, { type: 'Opaque' }, 'type', 'field is immutable'],
    ]);
  });
});
