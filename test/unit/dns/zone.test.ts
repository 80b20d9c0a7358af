import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Endpoints, Service } from '../../../lib/api/objects.ts';
import { keyOf } from '../../../lib/api/keys.ts';
import { compile, type EntryCache, type Zone } from '../../../services/dns/zone.ts';
import type { DnsRecord, TypeName } from '../../../services/dns/records.ts';
import { aService, anEndpoints } from '../../support/builders.ts';

const ttl = 5;
const zoneOf = (services: readonly Service[], endpoints: readonly Endpoints[] = [], cache?: EntryCache): Zone => {
  const byKey = new Map(endpoints.map((each) => [keyOf(each), each]));
  const options = { domain: 'cluster.local', ttl, serial: 7 };
  return compile(services, (key) => byKey.get(key), cache === undefined ? options : { ...options, cache });
};

/** The answer in a line: `missing`, `elsewhere`, or the data of each record. */
function ask(zone: Zone, name: string, type: TypeName): string {
  const answer = zone.lookup(name, type);
  if (answer.kind !== 'found') return answer.kind;
  const extra = answer.additional.length === 0 ? '' : ` + ${answer.additional.map(show).join(' ')}`;
  return `${answer.records.map(show).join(' ') || 'nothing'}${extra}`;
}
function show(record: DnsRecord): string {
  switch (record.type) {
    case 'A':
      return record.address;
    case 'AAAA':
      return record.bytes.toString('hex');
    case 'CNAME':
    case 'PTR':
    case 'NS':
      return record.target;
    case 'SRV':
      return `${record.port}@${record.target}`;
    case 'TXT':
      return record.text;
    case 'SOA':
      return `soa:${record.serial}`;
  }
}

describe('dns/zone', () => {
  const headless = { spec: { clusterIP: 'None', clusterIPs: ['None'] } };
  const zone = zoneOf(
    [
      aService({
        name: 'web',
        clusterIP: '10.96.0.20',
        ports: [
          { port: 80, name: 'http' },
          { port: 53, name: 'dns', protocol: 'UDP' },
        ],
      }),
      aService({ name: 'plain', clusterIP: '10.96.0.21' }),
      aService({ name: 'db', ...headless, ports: [{ port: 5432, name: 'sql' }] }),
      aService({ name: 'early', spec: { ...headless.spec, publishNotReadyAddresses: true } }),
      aService({ name: 'empty', ...headless, ports: [{ port: 1, name: 'x' }] }),
      aService({
        name: 'out',
        selector: null,
        spec: { type: 'ExternalName', externalName: 'Example.COM.', clusterIP: '' },
      }),
      aService({ name: 'web', namespace: 'other', clusterIP: '10.96.0.22' }),
    ],
    [
      anEndpoints({ name: 'web', ips: ['10.244.0.5'], ports: [{ name: 'http', port: 8080, protocol: 'TCP' }] }),
      anEndpoints({
        name: 'db',
        subsets: [
          {
            addresses: [{ ip: '10.244.0.7', hostname: 'db-1' }, { ip: '10.244.0.6' }],
            notReadyAddresses: [{ ip: '10.244.0.8' }],
            ports: [{ name: 'sql', port: 15432, protocol: 'TCP' }],
          },
        ],
      }),
      anEndpoints({ name: 'early', ips: ['10.244.0.9'], notReadyIps: ['10.244.0.10'] }),
    ],
  );

  const cases: readonly (readonly [name: string, type: TypeName, want: string])[] = [
    ['web.default.svc.cluster.local', 'A', '10.96.0.20'],
    ['web.other.svc.cluster.local', 'A', '10.96.0.22'],
    ['web.default.svc.cluster.local', 'AAAA', 'nothing'],
    ['web.default.svc.cluster.local', 'TXT', 'nothing'],
    ['nobody.default.svc.cluster.local', 'A', 'missing'],
    ['nobody.default.svc.cluster.local', 'AAAA', 'missing'],
    ['web.nowhere.svc.cluster.local', 'A', 'missing'],
    ['default.svc.cluster.local', 'A', 'nothing'],
    ['nowhere.svc.cluster.local', 'A', 'missing'],
    ['svc.cluster.local', 'A', 'nothing'],
    ['cluster.local', 'A', 'nothing'],
    ['cluster.local', 'SOA', 'soa:7'],
    ['cluster.local', 'NS', 'ns.dns.cluster.local'],
    ['foo.cluster.local', 'A', 'missing'],
    ['dns-version.cluster.local', 'TXT', '1.1.0'],
    ['example.com', 'A', 'elsewhere'],
    ['notcluster.local', 'A', 'elsewhere'],
    // headless
    ['db.default.svc.cluster.local', 'A', '10.244.0.6 10.244.0.7'],
    ['early.default.svc.cluster.local', 'A', '10.244.0.10 10.244.0.9'],
    ['empty.default.svc.cluster.local', 'A', 'nothing'],
    ['db-1.db.default.svc.cluster.local', 'A', '10.244.0.7'],
    ['10-244-0-7.db.default.svc.cluster.local', 'A', '10.244.0.7'],
    ['10-244-0-6.db.default.svc.cluster.local', 'A', '10.244.0.6'],
    ['10-244-0-8.db.default.svc.cluster.local', 'A', 'missing'],
    ['db-1.db.default.svc.cluster.local', 'AAAA', 'nothing'],
    ['a.db-1.db.default.svc.cluster.local', 'A', 'missing'],
    // SRV
    ['_http._tcp.web.default.svc.cluster.local', 'SRV', '80@web.default.svc.cluster.local + 10.96.0.20'],
    ['_dns._udp.web.default.svc.cluster.local', 'SRV', '53@web.default.svc.cluster.local + 10.96.0.20'],
    ['_dns._tcp.web.default.svc.cluster.local', 'SRV', 'missing'],
    ['_http._tcp.web.default.svc.cluster.local', 'A', 'nothing'],
    ['_tcp.web.default.svc.cluster.local', 'SRV', 'nothing'],
    ['_sctp.web.default.svc.cluster.local', 'SRV', 'missing'],
    ['_http._tcp.plain.default.svc.cluster.local', 'SRV', 'missing'],
    [
      '_sql._tcp.db.default.svc.cluster.local',
      'SRV',
      '15432@10-244-0-6.db.default.svc.cluster.local 15432@db-1.db.default.svc.cluster.local + 10.244.0.6 10.244.0.7',
    ],
    ['_x._tcp.empty.default.svc.cluster.local', 'SRV', 'nothing'],
    // ExternalName
    ['out.default.svc.cluster.local', 'A', 'example.com'],
    ['out.default.svc.cluster.local', 'CNAME', 'example.com'],
    ['x.out.default.svc.cluster.local', 'A', 'missing'],
    // pods
    ['10-244-0-5.default.pod.cluster.local', 'A', '10.244.0.5'],
    ['10-244-0-5.default.pod.cluster.local', 'AAAA', 'nothing'],
    ['10-244-0-300.default.pod.cluster.local', 'A', 'missing'],
    ['x.default.pod.cluster.local', 'A', 'missing'],
    // PTR
    ['20.0.96.10.in-addr.arpa', 'PTR', 'web.default.svc.cluster.local'],
    ['20.0.96.10.in-addr.arpa', 'A', 'nothing'],
    ['7.0.244.10.in-addr.arpa', 'PTR', 'db-1.db.default.svc.cluster.local'],
    ['6.0.244.10.in-addr.arpa', 'PTR', '10-244-0-6.db.default.svc.cluster.local'],
    ['5.0.244.10.in-addr.arpa', 'PTR', 'elsewhere'], // a pod behind a virtual address has no name of its own
    ['0.96.10.in-addr.arpa', 'PTR', 'elsewhere'],
    ['8.8.8.8.in-addr.arpa', 'PTR', 'elsewhere'],
  ];
  for (const [name, type, want] of cases) {
    it(`${type} ${name}: ${want}`, () => assert.equal(ask(zone, name, type), want));
  }

  it('gives every record the time to live and its own name', () => {
    const answer = zone.lookup('web.default.svc.cluster.local', 'A');
    assert(answer.kind === 'found');
    assert.deepEqual(answer.records, [
      { type: 'A', name: 'web.default.svc.cluster.local', ttl, address: '10.96.0.20' },
    ]);
  });

  it('equals the truth of any services and endpoints, with and without memory of earlier ones', () => {
    const names = ['a', 'b', 'c'];
    const shape = fc.record({
      name: fc.constantFrom(...names),
      namespace: fc.constantFrom('x', 'y'),
      kind: fc.constantFrom('vip', 'headless', 'gone'),
      hosts: fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { maxLength: 5 }),
    });
    fc.assert(
      fc.property(fc.array(fc.array(shape, { maxLength: 8 }), { minLength: 1, maxLength: 4 }), (steps) => {
        const cache: EntryCache = new WeakMap();
        const services = new Map<string, Service>();
        const endpoints = new Map<string, Endpoints>();
        for (const step of steps) {
          for (const { name, namespace, kind, hosts } of step) {
            const key = `${namespace}/${name}`;
            services.delete(key);
            if (kind !== 'gone') {
              const clusterIP = kind === 'vip' ? `10.96.${names.indexOf(name)}.${namespace === 'x' ? 1 : 2}` : 'None';
              services.set(key, aService({ name, namespace, clusterIP }));
            }
            endpoints.set(key, anEndpoints({ name, namespace, ips: hosts.map((n) => `10.244.0.${n}`) }));
          }
          const remembering = zoneOf([...services.values()], [...endpoints.values()], cache);
          const fresh = zoneOf([...services.values()], [...endpoints.values()]);
          for (const namespace of ['x', 'y']) {
            for (const name of names) {
              const key = `${namespace}/${name}`;
              const service = services.get(key);
              const hosts = (endpoints.get(key)?.subsets?.[0]?.addresses ?? []).map(({ ip }) => ip).sort();
              const want =
                service === undefined
                  ? 'missing'
                  : service.spec.clusterIP === 'None'
                    ? hosts.join(' ') || 'nothing'
                    : String(service.spec.clusterIP);
              const asked = `${name}.${namespace}.svc.cluster.local`;
              assert.equal(ask(fresh, asked, 'A'), want);
              assert.equal(ask(remembering, asked, 'A'), want);
            }
          }
        }
      }),
    );
  });
});
