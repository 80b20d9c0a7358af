import { validateStatusUpdate, validateUpdate } from '../../../../lib/api/validation/index.ts';
import { aNamespace, aNode, anEndpoints, anEvent, aPod, aService } from '../../../support/builders.ts';
import { changed } from '../../../support/changed.ts';
import { changes, rows } from './rows.ts';

describe('api/validation: service', () => {
  const ingress = 'status.loadBalancer.ingress';
  const balanced = { 'spec.type': 'LoadBalancer' };
  const given = (list: readonly object[]) => ({ 'spec.type': 'LoadBalancer', [ingress]: list });
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
    [
      { 'spec.externalTrafficPolicy': 'Local' },
      'spec.externalTrafficPolicy',
      'nothing reaches this Service from outside',
    ],
    [{ 'spec.externalTrafficPolicy': 'Local', 'spec.externalIPs': ['192.0.2.1'] }],
    [
      { 'spec.externalTrafficPolicy': 'Near', 'spec.type': 'NodePort' },
      'spec.externalTrafficPolicy',
      'Unsupported value',
    ],
    [{ 'spec.ipFamilyPolicy': 'PreferDualStack' }],
    [{ 'spec.ipFamilyPolicy': 'PreferDualStack', 'spec.ipFamilies': ['IPv4'] }],
    [{ 'spec.ipFamilyPolicy': 'RequireDualStack' }, 'spec.ipFamilyPolicy', 'one address family, IPv4; use SingleStack'],
    [{ 'spec.ipFamilyPolicy': 'TripleStack' }, 'spec.ipFamilyPolicy', 'Unsupported value'],
    [{ 'spec.ipFamilies': ['IPv6'] }, 'spec.ipFamilies[0]', 'one address family, IPv4; leave `ipFamilies` out'],
    [{ 'spec.ipFamilies': ['IPv4', 'IPv6'] }, 'spec.ipFamilies[1]', 'one address family'],
    [{ 'spec.ipFamilies': ['IPv4', 'IPv4'] }, 'spec.ipFamilies[1]', 'Duplicate value'],
    [{ 'spec.ports': [{ port: 80, protocol: 'SCTP' }] }],
    [{ 'spec.loadBalancerSourceRanges': ['10.0.0.0/8'] }, 'spec.loadBalancerSourceRanges', "`type` is 'LoadBalancer'"],
    [{ 'spec.loadBalancerClass': 'a/b' }, 'spec.loadBalancerClass', "`type` is 'LoadBalancer'"],
    [{ 'spec.allocateLoadBalancerNodePorts': false }, 'spec.allocateLoadBalancerNodePorts', "`type` is 'LoadBalancer'"],
    [{ 'spec.healthCheckNodePort': 30_001 }, 'spec.healthCheckNodePort', "`externalTrafficPolicy` 'Local'"],
  ]);
  rows('services', changed(aService(), balanced), [
    [{}],
    [{ 'spec.loadBalancerSourceRanges': ['10.0.0.0/8', ' 192.0.2.0/24 '] }],
    [{ 'spec.loadBalancerSourceRanges': ['10.0.0.0'] }, 'spec.loadBalancerSourceRanges[0]', 'IPv4 block'],
    [{ 'spec.loadBalancerSourceRanges': ['2001:db8::/32'] }, 'spec.loadBalancerSourceRanges[0]', 'IPv4 block'],
    [{ 'spec.loadBalancerIP': '192.0.2.7' }],
    [{ 'spec.loadBalancerIP': '2001:db8::7' }, 'spec.loadBalancerIP', 'IPv4'],
    [{ 'spec.loadBalancerClass': 'example.com/fast' }],
    [{ 'spec.loadBalancerClass': 'a b' }, 'spec.loadBalancerClass', 'a space'],
    [{ 'spec.allocateLoadBalancerNodePorts': false }],
    [{ 'spec.externalTrafficPolicy': 'Local', 'spec.healthCheckNodePort': 30_001 }],
    [
      { 'spec.externalTrafficPolicy': 'Local', 'spec.healthCheckNodePort': 70_000 },
      'spec.healthCheckNodePort',
      '65535',
    ],
    [
      {
        'spec.externalTrafficPolicy': 'Local',
        'spec.healthCheckNodePort': 30_001,
        'spec.ports': [{ port: 80, nodePort: 30_001 }],
      },
      'spec.healthCheckNodePort',
      'Duplicate value: 30001',
    ],
    [{ 'spec.allowedClients': [{ podSelector: { matchLabels: { app: 'shop' } } }, { namespaceSelector: {} }] }],
    [{ 'spec.allowedClients': [] }, 'spec.allowedClients', 'leave it out to let everybody in'],
    [{ 'spec.allowedClients': [{}] }, 'spec.allowedClients[0]', 'must have `podSelector` or `namespaceSelector`'],
    [
      { 'spec.allowedClients': [{ podSelector: { matchLabels: { 'a b': 'c' } } }] },
      'spec.allowedClients[0].podSelector.matchLabels',
      'a space',
    ],
    [
      { 'spec.allowedClients': [{ podSelector: { matchExpressions: [{ key: 'a', operator: 'Near' }] } }] },
      'spec.allowedClients[0].podSelector.matchExpressions[0].operator',
      'Unsupported value: "Near"',
    ],
    [
      { 'spec.allowedClients': [{ podSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } }] },
      'spec.allowedClients[0].podSelector.matchExpressions[0].values',
      'Required value',
    ],
    [
      { 'spec.allowedClients': [{ podSelector: {} }], 'spec.selector': undefined },
      'spec.allowedClients',
      'Endpoints written by hand',
    ],
  ]);
  const external = { spec: { type: 'ExternalName', externalName: 'db.example.com' } };
  rows('services', changed(aService(), external), [
    [{}],
    [{ 'spec.externalName': 'db.example.com.' }],
    [{ 'spec.externalName': undefined }, 'spec.externalName', 'Required value'],
    [{ 'spec.externalName': 'A b' }, 'spec.externalName', 'subdomain'],
    [{ 'spec.clusterIP': '10.96.0.1' }, 'spec.clusterIP', "may not be set when `type` is 'ExternalName'"],
    [{ 'spec.ipFamilies': ['IPv4'] }, 'spec.ipFamilies', "may not be set when `type` is 'ExternalName'"],
    [{ 'spec.ipFamilyPolicy': 'SingleStack' }, 'spec.ipFamilyPolicy', "may not be set when `type` is 'ExternalName'"],
    [{ 'spec.allowedClients': [{ podSelector: {} }] }, 'spec.allowedClients', 'does not pass through here'],
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
      [{ 'spec.type': 'LoadBalancer', 'spec.loadBalancerClass': 'a/b' }, {}],
      [
        { 'spec.type': 'LoadBalancer', 'spec.loadBalancerClass': 'a/b' },
        { 'spec.type': 'LoadBalancer', 'spec.loadBalancerClass': 'a/c' },
        'spec.loadBalancerClass',
        'field is immutable',
      ],
    ]));
  describe('status', () =>
    changes(validateStatusUpdate, 'services', aService(), [
      [given([{ ip: '192.0.2.1' }, { hostname: 'lb.example.com' }]), balanced],
      [given([{ ip: '192.0.2.1', ipMode: 'Proxy', ports: [{ port: 80, protocol: 'TCP' }] }]), balanced],
      [given([{ ip: 'x' }]), balanced, `${ingress}[0].ip`, 'IPv4'],
      [given([{ ip: '192.0.2.1', ipMode: 'Magic' }]), balanced, `${ingress}[0].ipMode`, 'Unsupported value'],
      [given([{ hostname: 'a', ipMode: 'VIP' }]), balanced, `${ingress}[0].ipMode`, '`ip` is not set'],
      [given([{ ip: '192.0.2.1', ports: [{ port: 0, protocol: 'TCP' }] }]), balanced, `${ingress}[0].ports[0].port`],
      [{ [ingress]: [{ ip: '192.0.2.1' }] }, {}, ingress, "`spec.type` is 'LoadBalancer'"],
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
    [{ 'metadata.annotations': { 'troupe.dev/on-config-change': 'none' } }],
    [
      { 'metadata.annotations': { 'troupe.dev/on-config-change': 'maybe' } },
      'metadata.annotations[troupe.dev/on-config-change]',
      'supported values',
    ],
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
