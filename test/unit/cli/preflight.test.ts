import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import type { ClusterOptions } from '../../../cli/cluster/part.ts';
import { obstacles } from '../../../cli/cluster/preflight.ts';
import { freePort } from '../../support/free-port.ts';

describe('cli/cluster/preflight', () => {
  let taken: Server | undefined;
  afterEach(() => taken?.close());

  const optionsWith = async (change: Partial<ClusterOptions> = {}): Promise<ClusterOptions> => ({
    ...{ cluster: 'test', dataDir: '/nowhere', distDir: '/nowhere/dist', host: '127.0.0.1', nodeName: 'n1' },
    ...{ apiPort: await freePort(), httpsPort: 23_455, natsPort: 23_456, telemetryPort: 23_500 },
    ...{
      dockerSocket: '/nowhere/docker.sock',
      ownEngine: true,
      proxyMode: 'auto',
      loadBalancerPool: '',
      together: false,
    },
    ...{ clusterCidr: '10.244.0.0/16', serviceCidr: '10.96.0.0/16', clusterDns: '10.96.0.10' },
    ...change,
  });

  it('names a taken port, what it is for and how to choose another', async () => {
    taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = taken.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const found = await obstacles(await optionsWith({ apiPort: port }), () => true);
    assert.ok(
      found.some(
        (line) => line.includes(`Port ${port} on 127.0.0.1, wanted for the API, is taken`) && line.includes('--port'),
      ),
      found.join('\n'),
    );
  });

  it('names each missing program and the package that has it', async () => {
    const found = (await obstacles(await optionsWith(), () => false)).join('\n');
    assert.match(found, /nats-server is missing: apt-get install nats-server/);
    assert.match(found, /dockerd is missing: apt-get install docker\.io/);
  });

  it('asks for HAProxy where there are to be load balancers', async () => {
    const found = (await obstacles(await optionsWith({ loadBalancerPool: '10.200.0.0/24' }), () => false)).join('\n');
    assert.match(found, /haproxy is missing: apt-get install haproxy/);
    assert.doesNotMatch((await obstacles(await optionsWith(), () => false)).join('\n'), /haproxy/);
  });

  it("asks for no engine of its own where the machine's answers", async () => {
    const found = (await obstacles(await optionsWith({ ownEngine: false }), () => false)).join('\n');
    assert.doesNotMatch(found, /dockerd/);
  });

  it('says when the services are not built', async () => {
    assert.match((await obstacles(await optionsWith(), () => true)).join('\n'), /not built: npm run build/);
  });
});
