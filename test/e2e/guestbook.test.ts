import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { get, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isReady } from '../../lib/api/pods.ts';
import type { Pod } from '../../lib/api/objects.ts';
import type { Client } from '../../lib/client/client.ts';
import { startOf } from '../../cli/cluster/state-file.ts';
import { run, TestCluster } from '../support/cluster.ts';
import { clientPrograms, runClient } from '../support/kubectl.ts';
import { until } from '../support/until.ts';
import { allParts } from '../support/parts.ts';

/**
 * The story of the README on real parts: a cluster started as a user starts it, the Guestbook applied as a user applies
 * it, and then the days a cluster has. One story, told in order: each step stands on the one before.
 */
describe('e2e/guestbook', function () {
  this.timeout(180_000);
  let cluster: TestCluster;
  let client: Client;
  let vip: string;

  const selector = 'app=guestbook,tier=frontend';
  const frontends = async (): Promise<readonly Pod[]> =>
    (await client.list('pods', { namespace: 'default', labelSelector: selector })).items.filter(
      (pod) => pod.metadata.deletionTimestamp === undefined,
    );
  const readyFrontends = async (): Promise<readonly Pod[]> => (await frontends()).filter(isReady);
  const endpointAddresses = async (service: string): Promise<readonly string[]> =>
    ((await client.get('endpoints', `default/${service}`))?.subsets ?? [])
      .flatMap((subset) => (subset.addresses ?? []).map(({ ip }) => ip))
      .sort();
  const untilServing = (count: number): Promise<unknown> =>
    until(
      async () => {
        const pods = await readyFrontends();
        const addresses = await endpointAddresses('frontend');
        return (
          pods.length === count &&
          addresses.join() ===
            pods
              .map((pod) => pod.status.podIP)
              .sort()
              .join()
        );
      },
      { timeoutMs: 60_000, what: `${count} frontends ready and in the Endpoints` },
    );

  before(async () => {
    cluster = await TestCluster.start(210);
    client = cluster.client();
  });
  after(async () => {
    client?.close();
    await cluster?.stop();
  });
  afterEach(async function () {
    if (this.currentTest?.state !== 'failed') return;
    for (const words of [
      ['get', 'pods', '-A', '-o', 'wide'],
      ['events', '-A'],
    ]) {
      const { stdout, stderr } = await cluster.troupe(...words);
      process.stderr.write(`\n$ troupe ${words.join(' ')}\n${stdout}${stderr}`);
    }
  });

  it('comes up and says how each part is', async () => {
    assert.match(cluster.output, /is up/);
    const status = await run(process.execPath, ['bin/troupe.js', 'status', '--data', cluster.dataDir]);
    assert.equal(status.code, 0, status.stdout);
    for (const part of allParts) {
      assert.match(status.stdout, new RegExp(`^${part} +ready`, 'm'));
    }
  });

  it('builds the images and applies the Guestbook', async () => {
    const built = await run(
      'npx',
      ['tsx', 'examples/guestbook/build-images.ts', '--docker-socket', cluster.dockerSocket],
      {},
      170_000,
    );
    assert.equal(built.code, 0, built.stdout + built.stderr);
    const applied = await cluster.troupe('apply', '-f', 'examples/guestbook/');
    assert.equal(applied.code, 0, applied.stderr);
    assert.match(applied.stdout, /replicationcontroller\/frontend created/);
    await untilServing(3);
    await until(
      async () =>
        (await endpointAddresses('redis-master')).length === 1 &&
        (await endpointAddresses('redis-replica')).length === 2,
      { timeoutMs: 60_000, what: 'Redis to serve' },
    );
    vip = (await client.get('services', 'default/frontend'))?.spec.clusterIP ?? '';
    const again = await cluster.troupe('apply', '-f', 'examples/guestbook/');
    assert.match(again.stdout, /replicationcontroller\/frontend unchanged/);
  });

  it('stores an entry through the virtual IP and reads it from every frontend', async () => {
    await until(() => post(vip, 'hello from the outside'), { timeoutMs: 30_000, what: 'an entry to be taken' });
    const servers = new Set<string>();
    await until(
      async () => {
        const page = await entries(vip);
        if (page.entries.some((text) => text.includes('hello from the outside'))) servers.add(page.servedBy);
        return servers.size === 3;
      },
      { timeoutMs: 20_000, what: () => `all three frontends to show the entry, so far ${[...servers].join()}` },
    );
  });

  it('starts a killed container again, in place', async () => {
    const [victim] = await readyFrontends();
    assert.ok(victim);
    const id = victim.status.containerStatuses?.[0]?.containerID?.replace('docker://', '') ?? '';
    await dockerKill(cluster.dockerSocket, id);
    const healed = await until(
      async () => {
        const pod = await client.get('pods', `default/${victim.metadata.name}`);
        return pod !== undefined && isReady(pod) && pod.status.containerStatuses?.[0]?.restartCount === 1
          ? pod
          : undefined;
      },
      { timeoutMs: 30_000, what: 'the container to be back' },
    );
    assert.equal(healed.metadata.uid, victim.metadata.uid);
    assert.equal(healed.status.podIP, victim.status.podIP);
    assert.equal(healed.status.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 137);
    await untilServing(3);
  });

  it('replaces a deleted pod and its traffic', async () => {
    const [victim] = await readyFrontends();
    assert.ok(victim);
    const deleted = await cluster.troupe('delete', 'pod', victim.metadata.name);
    assert.equal(deleted.code, 0, deleted.stderr);
    await untilServing(3);
    assert.ok(!(await frontends()).some((pod) => pod.metadata.name === victim.metadata.name));
    assert.ok((await entries(vip)).entries.length > 0);
  });

  it('scales to five and back', async () => {
    assert.equal((await cluster.troupe('scale', 'rc/frontend', '--replicas=5')).code, 0);
    await untilServing(5);
    assert.equal((await cluster.troupe('scale', 'rc/frontend', '--replicas=3')).code, 0);
    await untilServing(3);
  });

  it('quarantines a pod whose label is taken away', async () => {
    const [patient] = await readyFrontends();
    assert.ok(patient);
    assert.equal((await cluster.troupe('label', 'pod', patient.metadata.name, 'tier-')).code, 0);
    await untilServing(3);
    const apart = await client.get('pods', `default/${patient.metadata.name}`);
    assert.equal(apart?.status.phase, 'Running');
    assert.equal(apart.metadata.ownerReferences?.length ?? 0, 0);
    assert.ok(!(await endpointAddresses('frontend')).includes(patient.status.podIP ?? ''));
    assert.equal(
      (await entriesAt(patient.status.podIP ?? '')).servedBy,
      patient.metadata.name,
      'it still runs and answers',
    );
    assert.equal((await cluster.troupe('delete', 'pod', patient.metadata.name)).code, 0);
  });

  it('says what goes wrong with an image that is not there', async () => {
    const manifest = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'ghost' },
      spec: { containers: [{ name: 'ghost', image: 'troupe/no-such-image:1' }] },
    };
    await client.create('pods', { ...manifest, metadata: { name: 'ghost', namespace: 'default' } });
    await until(
      async () => /ErrImagePull|ImagePullBackOff/.test((await cluster.troupe('get', 'pod', 'ghost')).stdout),
      { timeoutMs: 30_000, what: 'get to say ErrImagePull' },
    );
    const described = await cluster.troupe('describe', 'pod', 'ghost');
    assert.match(described.stdout, /Failed/);
    await cluster.troupe('delete', 'pod', 'ghost', '--force', '--grace-period=0');
  });

  it('says why a pod that asks too much stays Pending', async () => {
    await client.create('pods', {
      metadata: { name: 'giant', namespace: 'default' },
      spec: { containers: [{ name: 'giant', image: 'troupe/redis:1', resources: { requests: { cpu: '1000' } } }] },
    });
    const pod = await until(
      async () => {
        const found = await client.get('pods', 'default/giant');
        return found?.status.conditions?.some((condition) => condition.reason === 'Unschedulable') === true
          ? found
          : undefined;
      },
      { timeoutMs: 10_000, what: 'the refusal' },
    );
    assert.match(
      pod.status.conditions?.find((condition) => condition.reason === 'Unschedulable')?.message ?? '',
      /0\/1 nodes are available: 1 insufficient cpu/i,
    );
    await cluster.troupe('delete', 'pod', 'giant');
  });

  it('takes the Guestbook as it was first published from kubectl, unchanged', async () => {
    const home = mkdtempSync(join(tmpdir(), 'troupe-guestbook-'));
    const { kubectl: program } = clientPrograms();
    const kubectl = async (line: string): Promise<string> => {
      const said = await runClient(program, line.split(' '), { kubeconfig: cluster.kubeconfig, home });
      assert.equal(said.code, 0, `kubectl ${line}\n${said.stdout}${said.stderr}`);
      return said.stdout;
    };
    try {
      await kubectl('create namespace classic');
      const applied = await kubectl('-n classic apply -f test/support/manifests/classic-guestbook');
      assert.match(applied, /^replicationcontroller\/frontend created$/m);
      assert.match(applied, /^service\/redis-slave created$/m);
      await kubectl('-n classic wait --for=jsonpath={.status.readyReplicas}=3 rc/frontend --timeout=60s');
      await kubectl('-n classic wait --for=jsonpath={.status.readyReplicas}=2 rc/redis-slave --timeout=60s');
      const ip = await kubectl('-n classic get service frontend -o jsonpath={.spec.clusterIP}');
      await until(() => post(ip, 'as in the old days'), { timeoutMs: 30_000, what: 'an entry to be taken' });
      await until(async () => (await entries(ip)).entries.some((text) => text.includes('as in the old days')), {
        timeoutMs: 20_000,
        what: 'a replica to have the entry',
      });
      const again = await kubectl('-n classic apply -f test/support/manifests/classic-guestbook');
      assert.match(again, /^replicationcontroller\/frontend unchanged$/m);
      await kubectl('delete namespace classic');
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  });

  it('ends in the same state when any part is killed', async () => {
    const before = await readyFrontends();
    for (const part of allParts) {
      const { pid } = cluster.part(part);
      cluster.kill(part);
      await until(() => cluster.part(part).pid !== pid && cluster.part(part).state === 'ready', {
        timeoutMs: 30_000,
        what: () => `${part} to be back: ${JSON.stringify(cluster.part(part))}`,
      });
      assert.ok((await entries(vip)).entries.length > 0, `the Guestbook serves after the death of ${part}`);
    }
    await untilServing(3);
    const after = await readyFrontends();
    assert.deepEqual(after.map(identity).sort(), before.map(identity).sort(), 'the same pods, none restarted');
  });

  it('finds everything as it was after a stop, which nobody reads of, and a start', async () => {
    const names = (await frontends()).map((pod) => pod.metadata.name).sort();
    const pids = cluster.state().parts.flatMap(({ pid }) => pid ?? []);
    client.close();
    cluster.stopReading();
    const down = await cluster.down();
    assert.equal(down.code, 0, down.stderr);
    assert.deepEqual(
      pids.filter((pid) => startOf(pid) !== undefined),
      [],
      'no part is left',
    );
    const listed = await run('docker', ['-H', `unix://${cluster.dockerSocket}`, 'ps', '-q'], {}, 5_000);
    assert.notEqual(listed.code, 0, 'its own engine has ended too');
    const left = await Promise.all([
      run('nft', ['list', 'tables']),
      run('ip', ['address', 'show', 'dev', 'lo']),
      run('ip', ['route']),
    ]);
    assert.doesNotMatch(
      left.map(({ stdout }) => stdout).join(),
      /e2e210|10\.21[01]\./,
      'no rules, addresses or routes are left',
    );
    await cluster.up();
    client = cluster.client();
    await untilServing(3);
    assert.deepEqual((await frontends()).map((pod) => pod.metadata.name).sort(), names);
    assert.equal((await client.get('services', 'default/frontend'))?.spec.clusterIP, vip);
    await until(() => post(vip, 'after the night'), { timeoutMs: 30_000, what: 'an entry to be taken again' });
  });
});

const identity = (pod: Pod): string =>
  `${pod.metadata.uid} ${pod.status.containerStatuses?.map((status) => `${status.containerID} ${status.restartCount}`).join()}`;

interface Page {
  readonly entries: readonly string[];
  readonly servedBy: string;
}

/** The entries as JSON, over a connection of its own so that each call may reach another pod. */
const entries = (host: string): Promise<Page> => entriesAt(host, 80);
async function entriesAt(host: string, port = 8080): Promise<Page> {
  const text = await new Promise<string>((resolve, reject) => {
    get({ host, port, path: '/entries', agent: false, timeout: 5_000 }, (answer) => {
      let body = '';
      answer.on('data', (chunk: Buffer) => (body += chunk.toString()));
      answer.on('end', () => {
        resolve(body);
      });
    }).on('error', reject);
  });
  return JSON.parse(text) as Page;
}

function post(host: string, text: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const asking = request(
      {
        host,
        port: 80,
        path: '/entries',
        method: 'POST',
        agent: false,
        timeout: 5_000,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      },
      (answer) => {
        answer.resume().on('end', () => {
          resolve((answer.statusCode ?? 500) < 400);
        });
      },
    );
    asking.on('error', reject).end(new URLSearchParams({ entry: text }).toString());
  });
}

function dockerKill(socketPath: string, id: string): Promise<void> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path: `/containers/${id}/kill`, method: 'POST' }, (answer) => {
      answer.resume().on('end', () => {
        if (answer.statusCode === 204) resolve();
        else reject(new Error(`the engine answers ${answer.statusCode}`));
      });
    })
      .on('error', reject)
      .end();
  });
}
