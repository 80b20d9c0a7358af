import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { AllowedClient, Pod, Service } from '../../../lib/api/objects.ts';
import type { Surroundings } from '../../../services/endpoints-controller/access.ts';
import { ClientIndex } from '../../../services/endpoints-controller/client-index.ts';
import { compile, reconcile } from '../../../services/endpoints-controller/reconcile.ts';
import { aNamespace, aPod, aService, type PodOptions } from '../../support/builders.ts';

const restricted = (...allowedClients: readonly AllowedClient[]): Service => aService({ spec: { allowedClients } });
const client = (name: string, ip: string, options: PodOptions = {}): Pod =>
  aPod({ name, ip, labels: { app: 'shop' }, ...options });
const namespaces = [
  aNamespace({ name: 'default' }),
  aNamespace({ name: 'ops', labels: { team: 'ops' } }),
  aNamespace({ name: 'lab', labels: { team: 'lab' } }),
];
const around = (...pods: readonly Pod[]): Surroundings => ({
  pods: (namespace) => pods.filter(({ metadata }) => metadata.namespace === namespace),
  namespaces,
  isOpen: () => false,
  isDown: () => false,
});
const shop: AllowedClient = { podSelector: { matchLabels: { app: 'shop' } } };

const rows: { it: string; allowed: AllowedClient[]; pods: Pod[]; want: string[] | undefined }[] = [
  { it: 'everybody where nothing is declared', allowed: [], pods: [client('a', '10.0.0.1')], want: undefined },
  { it: 'nobody where nobody matches', allowed: [shop], pods: [], want: [] },
  {
    it: 'pods by their labels, sorted, each address once',
    allowed: [shop, { podSelector: {} }],
    pods: [client('b', '10.0.0.2'), client('a', '10.0.0.1'), client('c', '10.0.0.3', { labels: {} })],
    want: ['10.0.0.1', '10.0.0.2', '10.0.0.3'],
  },
  {
    it: 'pods of its own namespace only',
    allowed: [shop],
    pods: [client('a', '10.0.0.1'), client('b', '10.0.0.2', { namespace: 'ops' })],
    want: ['10.0.0.1'],
  },
  {
    it: 'all pods of the namespaces that are selected',
    allowed: [{ namespaceSelector: { matchLabels: { team: 'ops' } } }],
    pods: [client('a', '10.0.0.1'), client('b', '10.0.0.2', { namespace: 'ops', labels: { app: 'x' } })],
    want: ['10.0.0.2'],
  },
  {
    it: 'pods by labels in the namespaces that are selected',
    allowed: [
      { ...shop, namespaceSelector: { matchExpressions: [{ key: 'team', operator: 'In', values: ['ops', 'lab'] }] } },
    ],
    pods: [
      client('a', '10.0.0.1'),
      client('b', '10.0.0.2', { namespace: 'ops' }),
      client('c', '10.0.0.3', { namespace: 'lab', labels: {} }),
    ],
    want: ['10.0.0.2'],
  },
  {
    it: 'pods that leave, and none that ended or has no address',
    allowed: [shop],
    pods: [
      client('a', '10.0.0.1', { deleted: true }),
      client('b', '10.0.0.2', { phase: 'Succeeded' }),
      client('c', ''),
      client('d', '10.0.0.4', { ready: false }),
    ],
    want: ['10.0.0.1', '10.0.0.4'],
  },
];

describe('endpoints-controller/access', () => {
  for (const row of rows) {
    it(`admits ${row.it}`, () => {
      const { access } = compile(restricted(...row.allowed), [], around(...row.pods));
      assert.deepEqual(access && (access.clients ?? []), row.want);
    });
  }

  it('goes on guarding pods that leave until they have ended, unless an open Service leads to them too', () => {
    const leaving = aPod({ name: 'a', ip: '10.0.0.9', labels: { app: 'web' }, nodeName: 'n1', deleted: true });
    const ended = aPod({ name: 'b', ip: '10.0.0.8', labels: { app: 'web' }, phase: 'Failed', deleted: true });
    const { access, subsets } = compile(restricted(shop), [leaving, ended], around());
    assert.deepEqual(subsets, []);
    assert.deepEqual(
      access?.leaving?.map(({ addresses, ports }) => [addresses?.map(({ ip }) => ip), ports?.map(({ port }) => port)]),
      [[['10.0.0.9'], [80]]],
    );
    assert.equal(compile(restricted(shop), [leaving], { ...around(), isOpen: () => true }).access?.leaving, undefined);
  });

  it('writes when the clients differ, and not when they are the same', () => {
    const service = restricted(shop);
    const first = reconcile(service, [], undefined, around(client('a', '10.0.0.1')));
    assert(first?.type === 'create');
    const stored = { apiVersion: 'v1', kind: 'Endpoints', ...first.draft } as Parameters<typeof reconcile>[2];
    assert.equal(reconcile(service, [], stored, around(client('a', '10.0.0.1'))), undefined);
    const next = reconcile(service, [], stored, around());
    assert(next?.type === 'update');
    assert.deepEqual(next.endpoints.access, {});
    const open = reconcile(aService(), [], stored, around());
    assert(open?.type === 'update' && !('access' in open.endpoints));
  });

  it('wakes every Service that a pod may be a client of, and forgets those that declare nothing any more', () => {
    const keys = fc.constantFrom('app', 'tier');
    const values = fc.constantFrom('a', 'b');
    const labels = fc.dictionary(keys, values, { maxKeys: 2 });
    const selector = fc.record(
      {
        matchLabels: labels,
        matchExpressions: fc.array(fc.record({ key: keys, operator: fc.constantFrom('Exists', 'DoesNotExist') }), {
          maxLength: 1,
        }),
      },
      { requiredKeys: [] },
    );
    const allowed = fc.array(fc.record({ podSelector: selector, namespaceSelector: selector }, { requiredKeys: [] }), {
      minLength: 1,
      maxLength: 3,
    });
    fc.assert(
      fc.property(
        fc.array(allowed, { maxLength: 4 }),
        labels,
        fc.constantFrom('default', 'ops'),
        (all, own, namespace) => {
          const index = new ClientIndex();
          const services = all.map((clients) => restricted(...(clients as AllowedClient[])));
          services.forEach((service, i) => {
            index.set(`default/s${i}`, restricted(shop));
            index.set(`default/s${i}`, service);
          });
          const pod = aPod({ name: 'p', ip: '10.0.0.1', labels: own, namespace });
          const woken = index.matching(namespace, own);
          services.forEach((service, i) => {
            const admits = compile(service, [], around(pod)).access?.clients !== undefined;
            if (admits) assert(woken.includes(`default/s${i}`), `s${i} is not woken`);
          });
          services.forEach((_, i) => index.set(`default/s${i}`, undefined));
          assert.deepEqual(index.matching(namespace, own), []);
          assert.equal(index.size, 0);
        },
      ),
    );
  });
});
