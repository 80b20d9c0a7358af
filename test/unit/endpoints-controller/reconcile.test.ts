import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Endpoints, Pod, Service } from '../../../lib/api/objects.ts';
import {
  compile,
  isKept,
  maxAddresses,
  overCapacity,
  reconcile,
} from '../../../services/endpoints-controller/reconcile.ts';
import { servicesToWake } from '../../../services/endpoints-controller/wake.ts';
import { anEndpoints, aPod, aService, type PodOptions } from '../../support/builders.ts';

const service = aService({ ports: [{ port: 80, targetPort: 8080 }] });
const behind = (name: string, ip: string, options: PodOptions = {}): Pod =>
  aPod({ name, ip, nodeName: 'n1', labels: { app: 'web' }, ...options });

/** `10.0.0.1 10.0.0.2 | 10.0.0.3 @ 8080`: ready, not ready, ports; one line a subset. */
const drawn = (of: Service, pods: readonly Pod[]): string[] =>
  compile(of, pods).subsets.map(({ addresses = [], notReadyAddresses = [], ports = [] }) => {
    const ips = (all: readonly { ip: string }[]): string => all.map(({ ip }) => ip).join(' ');
    const shown = ports.map(
      ({ name, port, protocol }) =>
        `${name === undefined ? '' : `${name}:`}${port}${protocol === 'TCP' ? '' : protocol}`,
    );
    return `${ips(addresses)} | ${ips(notReadyAddresses)} @ ${shown.join(' ')}`;
  });

const named = aService({
  ports: [
    { name: 'http', port: 80, targetPort: 'web' },
    { name: 'metrics', port: 90, targetPort: 'stats' },
  ],
});
const listening = (name: string, ip: string, ports: Record<string, number>): Pod =>
  behind(name, ip, {
    ports: Object.entries(ports).map(([port, number]) => ({ name: port, containerPort: number, protocol: 'TCP' })),
  });

const rows: { it: string; service?: Service; pods: Pod[]; want: string[] }[] = [
  { it: 'has none without pods', pods: [], want: [] },
  {
    it: 'sorts addresses',
    pods: [behind('b', '10.0.0.2'), behind('a', '10.0.0.1')],
    want: ['10.0.0.1 10.0.0.2 |  @ 8080'],
  },
  {
    it: 'keeps the unready apart',
    pods: [behind('a', '10.0.0.1'), behind('b', '10.0.0.2', { ready: false })],
    want: ['10.0.0.1 | 10.0.0.2 @ 8080'],
  },
  { it: 'leaves out who does not match', pods: [behind('a', '10.0.0.1', { labels: { app: 'db' } })], want: [] },
  { it: 'leaves out other namespaces', pods: [behind('a', '10.0.0.1', { namespace: 'other' })], want: [] },
  { it: 'leaves out who goes', pods: [behind('a', '10.0.0.1', { deleted: true })], want: [] },
  { it: 'leaves out who has ended', pods: [behind('a', '10.0.0.1', { phase: 'Failed' })], want: [] },
  { it: 'leaves out who has no address yet', pods: [aPod({ labels: { app: 'web' }, nodeName: 'n1' })], want: [] },
  {
    it: 'publishes the unready as ready where asked to',
    service: aService({ spec: { publishNotReadyAddresses: true } }),
    pods: [behind('a', '10.0.0.1', { ready: false })],
    want: ['10.0.0.1 |  @ 80'],
  },
  {
    it: 'looks named ports up in each pod',
    service: named,
    pods: [
      listening('a', '10.0.0.1', { web: 8080, stats: 9090 }),
      listening('b', '10.0.0.2', { web: 8081, stats: 9090 }),
    ],
    want: ['10.0.0.1 |  @ http:8080 metrics:9090', '10.0.0.2 |  @ http:8081 metrics:9090'],
  },
  {
    it: 'serves the ports a pod has',
    service: named,
    pods: [listening('a', '10.0.0.1', { web: 8080 }), listening('b', '10.0.0.2', {})],
    want: ['10.0.0.1 |  @ http:8080'],
  },
  {
    it: 'wants the protocol to agree',
    service: aService({ ports: [{ port: 53, protocol: 'UDP', targetPort: 'dns' }] }),
    pods: [listening('a', '10.0.0.1', { dns: 53 })],
    want: [],
  },
  {
    it: 'needs no ports for a headless Service',
    service: aService({ clusterIP: 'None', spec: { ports: [] } }),
    pods: [behind('a', '10.0.0.1')],
    want: ['10.0.0.1 |  @ '],
  },
  {
    it: 'lists an address once, for the ready pod that has it',
    pods: [behind('a', '10.0.0.1', { ready: false }), behind('b', '10.0.0.1')],
    want: ['10.0.0.1 |  @ 8080'],
  },
];

describe('endpoints-controller/reconcile', () => {
  for (const row of rows) {
    it(row.it, () => {
      assert.deepEqual(drawn(row.service ?? service, row.pods), row.want);
    });
  }

  it('says who is behind an address, and its host name where the pod is named in this Service', () => {
    const pod = behind('a', '10.0.0.1', { spec: { hostname: 'first', subdomain: 'web' } });
    assert.deepEqual(compile(service, [pod]).subsets[0]?.addresses, [
      {
        ip: '10.0.0.1',
        hostname: 'first',
        nodeName: 'n1',
        targetRef: { kind: 'Pod', namespace: 'default', name: 'a', uid: pod.metadata.uid },
      },
    ]);
    const elsewhere = behind('a', '10.0.0.1', { spec: { hostname: 'first', subdomain: 'db' } });
    assert.equal(compile(service, [elsewhere]).subsets[0]?.addresses?.[0]?.hostname, undefined);
  });

  it('cuts off after a thousand, the unready first, and says so', () => {
    const many = Array.from({ length: maxAddresses + 5 }, (_, i) =>
      behind(`p${i}`, `10.0.${Math.floor(i / 250)}.${i % 250}`, { ready: i >= 10 }),
    );
    const { subsets, truncated } = compile(service, many);
    assert.equal(truncated, true);
    assert.deepEqual([subsets[0]?.addresses?.length, subsets[0]?.notReadyAddresses?.length], [995, 5]);
    const action = reconcile(service, many, undefined);
    assert.equal(action?.type === 'create' && action.draft.metadata.annotations?.[overCapacity], 'truncated');
  });

  it('keeps those of Services with a selector only', () => {
    const kept = [
      aService(),
      aService({ selector: null }),
      aService({ selector: {} }),
      aService({ spec: { type: 'ExternalName' } }),
      aService({ deleted: true }),
    ];
    assert.deepEqual(kept.map(isKept), [true, false, false, false, false]);
  });

  const stored = (pods: readonly Pod[]): Endpoints => {
    const action = reconcile(service, pods, undefined);
    assert.equal(action?.type, 'create');
    const { labels = {}, annotations = {} } = action.draft.metadata;
    return {
      ...anEndpoints({ labels, annotations }),
      subsets: JSON.parse(JSON.stringify(action.draft.subsets)) as Endpoints['subsets'] & object,
    };
  };

  it('writes only what differs, and keeps the annotations of others', () => {
    const pods = [behind('a', '10.0.0.1')];
    const current = stored(pods);
    assert.equal(reconcile(service, pods, current), undefined);
    const theirs = { ...current, metadata: { ...current.metadata, annotations: { theirs: 'x' } } };
    assert.equal(reconcile(service, pods, theirs), undefined);
    const action = reconcile(service, [], theirs);
    assert.equal(action?.type, 'update');
    assert.deepEqual(action.endpoints.metadata.annotations, { theirs: 'x' });
    assert.equal(action.endpoints.metadata.resourceVersion, current.metadata.resourceVersion);
    assert.deepEqual(action.endpoints.subsets, []);
  });

  it('carries the labels of the Service', () => {
    const headless = aService({ clusterIP: 'None', labels: { tier: 'front' } });
    const labels = compile(headless, []).labels;
    assert.equal(labels['tier'], 'front');
    assert.equal(labels['service.kubernetes.io/headless'], '');
  });

  it('does not depend on the order of pods, and rests after its own write', () => {
    const pod = fc.record({
      ip: fc.nat(20),
      ready: fc.boolean(),
      port: fc.constantFrom(8080, 8081),
      deleted: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(pod, { maxLength: 20 }), (all) => {
        const pods = all.map(({ ip, port, ...rest }, i) => {
          const ports = [{ name: 'web', containerPort: port, protocol: 'TCP' as const }];
          return behind(`p${i}`, `10.0.0.${ip}`, { ...rest, ports });
        });
        assert.deepEqual(compile(named, pods), compile(named, pods.toReversed()));
        const ips = compile(named, pods).subsets.map(({ addresses = [], notReadyAddresses = [] }) =>
          [...addresses, ...notReadyAddresses].map(({ ip }) => ip),
        );
        for (const some of ips) assert.equal(new Set(some).size, some.length);
        assert.equal(reconcile(service, pods, stored(pods)), undefined);
      }),
    );
  });
});

describe('endpoints-controller/wake', () => {
  const matching = (namespace: string, labels: Readonly<Record<string, string>> | undefined): string[] =>
    labels?.['app'] === undefined ? [] : [`${namespace}/${labels['app']}`];
  const web = behind('a', '10.0.0.1');
  const cases: { it: string; before?: Pod; after?: Pod; want: string[] }[] = [
    { it: 'a pod with an address', after: web, want: ['default/web'] },
    { it: 'a pod without one', after: aPod({ labels: { app: 'web' } }), want: [] },
    { it: 'a pod that is gone', before: web, want: ['default/web'] },
    {
      it: 'a pod that becomes unready',
      before: web,
      after: behind('a', '10.0.0.1', { ready: false }),
      want: ['default/web'],
    },
    { it: 'a pod that goes', before: web, after: behind('a', '10.0.0.1', { deleted: true }), want: ['default/web'] },
    {
      it: 'a pod that moves from one Service to another',
      before: web,
      after: behind('a', '10.0.0.1', { labels: { app: 'db' } }),
      want: ['default/web', 'default/db'],
    },
    { it: 'a pod that only counts restarts', before: web, after: behind('a', '10.0.0.1', { restarts: 3 }), want: [] },
  ];
  for (const each of cases) {
    it(`${each.it} wakes ${each.want.join(' and ') || 'nobody'}`, () => {
      assert.deepEqual(servicesToWake(each.before, each.after, matching), each.want);
    });
  }
});
