import assert from 'node:assert/strict';
import { compile } from '../../../services/dns/zone.ts';
import { meantBy } from '../../../services/dns/completion.ts';
import { aService } from '../../support/builders.ts';

describe('dns/completion', () => {
  const zone = compile(
    [aService({ name: 'web', namespace: 'default' }), aService({ name: 'db', namespace: 'prod', clusterIP: 'None' })],
    () => undefined,
    { domain: 'cluster.local', ttl: 5, serial: 1, namespaces: ['empty'] },
  );
  const cases: readonly (readonly [it: string, asked: string, meant: string | undefined])[] = [
    ['a name outside', 'api.github.com.default.svc.cluster.local', 'api.github.com'],
    ['a name outside, from another namespace', 'example.com.prod.svc.cluster.local', 'example.com'],
    ['a name outside, from a namespace without services', 'example.com.empty.svc.cluster.local', 'example.com'],
    ['the second step of the path, which the first has walked', 'api.app.com.svc.cluster.local', undefined],
    [
      'a service of another namespace, by its short name',
      'db.prod.default.svc.cluster.local',
      'db.prod.svc.cluster.local',
    ],
    ['the same with svc', 'db.prod.svc.default.svc.cluster.local', 'db.prod.svc.cluster.local'],
    ['the whole name of a service', 'db.prod.svc.cluster.local.default.svc.cluster.local', 'db.prod.svc.cluster.local'],
    ['the whole name of no service', 'xx.prod.svc.cluster.local.default.svc.cluster.local', undefined],
    ['one label: a service that is not there', 'nobody.default.svc.cluster.local', undefined],
    ['a host of a service that is not there now', 'db-0.db.prod.svc.cluster.local', undefined],
    ['a port of a service', '_x._tcp.web.default.svc.cluster.local', undefined],
    ['a name further along the path', 'api.github.com.cluster.local', undefined],
  ];
  for (const [what, asked, meant] of cases) {
    it(`${what}: ${asked} means ${meant ?? 'nothing'}`, () =>
      assert.equal(meantBy(asked, 'cluster.local', zone), meant));
  }
});
