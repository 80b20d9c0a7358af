import assert from 'node:assert/strict';
import type { PodSpec } from '../../../lib/api/objects.ts';
import { hostnameOf, podFiles, uname } from '../../../node-agent/pod-files.ts';
import { aPod } from '../../support/builders.ts';

const dns = {
  clusterDns: '10.96.0.10',
  clusterDomain: 'cluster.local',
  nodeResolvConf:
    '# of the node\nnameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch example.com\noptions timeout:1 rotate\n',
};
const resolvConf = (spec: Partial<PodSpec>): readonly string[] =>
  podFiles(aPod({ spec }), '10.244.0.5', dns).resolvConf.trimEnd().split('\n');
const ofCluster = [
  'nameserver 10.96.0.10',
  'search default.svc.cluster.local svc.cluster.local cluster.local example.com',
  'options ndots:5',
];
const ofNode = ['nameserver 192.0.2.53', 'nameserver 192.0.2.54', 'search example.com', 'options timeout:1 rotate'];

describe('node-agent/pod-files', () => {
  const cases: readonly { it: string; spec: Partial<PodSpec>; want: readonly string[] }[] = [
    { it: 'ClusterFirst: the names of the cluster, then those of the node', spec: {}, want: ofCluster },
    { it: 'Default: as the node', spec: { dnsPolicy: 'Default' }, want: ofNode },
    { it: 'ClusterFirst on the host network: as the node', spec: { hostNetwork: true }, want: ofNode },
    {
      it: 'ClusterFirstWithHostNet',
      spec: { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' },
      want: ofCluster,
    },
    {
      it: 'None: dnsConfig alone',
      spec: {
        dnsPolicy: 'None',
        dnsConfig: {
          nameservers: ['192.0.2.1'],
          searches: ['a.example'],
          options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }],
        },
      },
      want: ['nameserver 192.0.2.1', 'search a.example', 'options ndots:2 edns0'],
    },
    {
      it: 'dnsConfig on top: options replaced, lists joined, three servers at most',
      spec: {
        dnsConfig: {
          nameservers: ['10.96.0.10', '192.0.2.1', '192.0.2.2', '192.0.2.3'],
          options: [{ name: 'ndots', value: '1' }],
        },
      },
      want: [
        'nameserver 10.96.0.10',
        'nameserver 192.0.2.1',
        'nameserver 192.0.2.2',
        ofCluster[1] ?? '',
        'options ndots:1',
      ],
    },
  ];
  for (const c of cases) it(c.it, () => assert.deepEqual(resolvConf(c.spec), c.want));

  it('writes hosts with the pod, its subdomain and its aliases', () => {
    const spec = { hostname: 'one', subdomain: 'group', hostAliases: [{ ip: '192.0.2.7', hostnames: ['a', 'b'] }] };
    const { hosts, hostname } = podFiles(aPod({ spec }), '10.244.0.5', dns);
    assert.equal(hostname, 'one\n');
    assert.match(hosts, /^127\.0\.0\.1\tlocalhost\n/);
    assert.match(hosts, /\n10\.244\.0\.5\tone\.group\.default\.svc\.cluster\.local one\n192\.0\.2\.7\ta b\n$/);
  });
  it("shows a pod on the node's network the names of the node, and its aliases", () => {
    const spec = { hostNetwork: true, hostAliases: [{ ip: '192.0.2.7', hostnames: ['a', 'b'] }] };
    const node = { ...dns, nodeHosts: '127.0.0.1 localhost node-1\n\n', nodeHostname: 'node-1' };
    const files = podFiles(aPod({ spec }), '192.0.2.10', node);
    assert.deepEqual([files.hosts, files.hostname], ['127.0.0.1 localhost node-1\n192.0.2.7\ta b\n', 'node-1\n']);
  });
  it('makes the whole name the host name where it is asked for, and refuses one that is too long', () => {
    const spec = { subdomain: 'shop', setHostnameAsFQDN: true };
    assert.equal(uname(aPod({ name: 'web', spec }), 'cluster.local'), 'web.shop.default.svc.cluster.local');
    assert.equal(uname(aPod({ name: 'web', spec: { setHostnameAsFQDN: true } }), 'cluster.local'), 'web');
    assert.throws(() => uname(aPod({ name: 'w'.repeat(40), spec }), 'cluster.local'), /has 71 characters/);
  });
  it('cuts a long name to what a host name may be', () => {
    assert.equal(hostnameOf(aPod({ name: `${'a'.repeat(62)}-b.c` })), 'a'.repeat(62));
  });
});
