import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import type { Key } from '../../../lib/api/keys.ts';
import type { Service } from '../../../lib/api/objects.ts';
import { silentLog } from '../../../lib/base/log.ts';
import { HealthPorts } from '../../../services/proxy/health-ports.ts';
import { aService } from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { FakeView } from '../../support/fake-view.ts';
import { freePort } from '../../support/free-port.ts';
import { until } from '../../support/until.ts';

describe('proxy/health-ports', () => {
  let services: FakeView<Service>;
  let clock: FakeClock;
  let ports: HealthPorts;
  let found: Map<Key, number>;
  let port: number;
  const taken: string[] = [];

  beforeEach(async () => {
    services = new FakeView();
    clock = new FakeClock();
    found = new Map();
    port = await freePort();
    taken.length = 0;
    ports = new HealthPorts({
      ...{ services, clock, log: silentLog, host: '127.0.0.1', localEndpoints: (key) => found.get(key) },
      onTaken: (service, why) => taken.push(`${service.metadata.name}: ${why}`),
    });
    ports.start();
  });
  afterEach(() => ports.close());

  const local = (spec: object = {}): Service =>
    aService({
      spec: { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: port, ...spec },
    });
  const ask = async (at = port): Promise<[number, unknown]> => {
    const answer = await fetch(`http://127.0.0.1:${at}/`);
    return [answer.status, await answer.json()];
  };
  const refused = (at = port): Promise<unknown> =>
    until(
      () =>
        ask(at).then(
          () => false,
          () => true,
        ),
      { what: `port ${at} is closed` },
    );
  const service = { namespace: 'default', name: 'web' };

  it('says whether this node has endpoints, as they are in effect when it is asked', async () => {
    services.wrote(local());
    await until(ask, { what: 'it is served' });
    assert.deepEqual(await ask(), [503, { service, localEndpoints: 0, serviceProxyHealthy: false }]);
    found.set('default/web', 2);
    assert.deepEqual(await ask(), [200, { service, localEndpoints: 2, serviceProxyHealthy: true }]);
    found.set('default/web', 0);
    assert.deepEqual(await ask(), [503, { service, localEndpoints: 0, serviceProxyHealthy: true }]);
  });

  it('follows the port, and ends with the policy, the type or the Service', async () => {
    services.wrote(local());
    await until(ask, { what: 'it is served' });
    const [first, second] = [port, await freePort()];
    services.wrote(local({ healthCheckNodePort: second }));
    await until(() => ask(second), { what: 'the other port is served' });
    await refused(first);
    services.wrote(local({ externalTrafficPolicy: 'Cluster', healthCheckNodePort: 0 }));
    await refused(second);
    services.wrote(local());
    await until(ask, { what: 'it is served again' });
    services.wroteDeletion(local());
    await refused();
  });

  it('says which port another program has, and takes it when that has ended', async () => {
    const other = createServer().listen(port, '127.0.0.1');
    await once(other, 'listening');
    assert.equal((other.address() as AddressInfo).port, port);
    services.wrote(local());
    await until(() => taken.length > 0, { what: 'it is told' });
    assert.match(taken[0] ?? '', new RegExp(`^web: port ${port} cannot be listened on: .*EADDRINUSE`));
    await new Promise((resolve) => other.close(resolve));
    await until(
      async () => {
        await clock.advance(5_000);
        return ask();
      },
      { what: 'it is served' },
    );
  });
});
