import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import Docker from 'dockerode';
import tar from 'tar-stream';
import { withLibraries } from '../../examples/images/programs.ts';
import type { Pod, TokenRequest } from '../../lib/api/objects.ts';
import type { Client } from '../../lib/client/client.ts';
import { newDockerRuntime, importImage } from '../../node-agent/runtime/docker-runtime.ts';
import type { ContainerRuntime } from '../../node-agent/runtime/runtime.ts';
import { TestCluster } from '../support/cluster.ts';
import { importBusybox, whyNoDocker } from '../support/docker-engine.ts';
import { until } from '../support/until.ts';

const folder = '/var/run/secrets/kubernetes.io/serviceaccount';

/** A pod speaks for itself: with its own token, to the API that it finds by its environment. */
describe('e2e/pod-identity: what a pod may say of itself', function () {
  this.timeout(120_000);
  let cluster: TestCluster;
  let client: Client;
  let runtime: ContainerRuntime;

  before(async function () {
    const why = whyNoDocker();
    if (why !== undefined) {
      console.warn(`skipped: ${why}`);
      return this.skip();
    }
    cluster = await TestCluster.start(178);
    client = cluster.client();
    const docker = new Docker({ socketPath: cluster.dockerSocket });
    await Promise.all([importBusybox(docker), importTroupe(docker)]);
    runtime = newDockerRuntime({ socketPath: cluster.dockerSocket, cluster: 'e2e178', node: 'node-1' });
    await create('talker', { securityContext: { runAsUser: 65534, runAsGroup: 65534 } });
    await create('quiet', { automountServiceAccountToken: false });
    for (const name of ['talker', 'quiet']) await untilRunning(name);
  });
  after(async () => {
    client?.close();
    await cluster?.stop();
  });

  async function create(name: string, spec: object): Promise<void> {
    await client.create('pods', {
      metadata: { name, namespace: 'default' },
      spec: {
        ...{ terminationGracePeriodSeconds: 0, ...spec },
        containers: [{ name: 'main', image: 'troupe-test/troupe:1', command: ['/bin/sleep', '100000'] }],
      },
    });
  }
  async function untilRunning(name: string): Promise<Pod> {
    return until(
      async () => {
        const pod = await client.get('pods', `default/${name}`);
        return pod?.status.phase === 'Running' ? pod : undefined;
      },
      { what: `pod ${name} runs`, timeoutMs: 40_000 },
    );
  }
  /** Runs a command in a pod's container. */
  async function inPod(pod: string, ...command: readonly string[]): Promise<{ code: number; output: string }> {
    const found = (await runtime.list()).find(
      ({ labels, state }) =>
        labels['troupe.pod.name'] === pod && labels['troupe.container'] === 'main' && state === 'running',
    );
    const { exitCode, output } = await runtime.exec(found?.id ?? '', command, 20_000);
    return { code: exitCode, output };
  }
  const troupe = (...words: readonly string[]) => inPod('talker', '/bin/node', '/app/cli.js', ...words);

  it('tells a pod of its account, its namespace and the API', async () => {
    const pod = await client.get('pods', 'default/talker');
    assert.equal(pod?.spec.serviceAccountName, 'default');
    assert.equal((await inPod('talker', '/bin/cat', `${folder}/namespace`)).output, 'default');
    const { output } = await inPod('talker', '/bin/env');
    assert.match(output, /^KUBERNETES_SERVICE_HOST=10\.179\.0\.1$/m);
    assert.match(output, /^KUBERNETES_SERVICE_PORT=443$/m);
    const token = (await inPod('talker', '/bin/cat', `${folder}/token`)).output;
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
      sub: string;
      'kubernetes.io': { pod: object };
    };
    assert.equal(claims.sub, 'system:serviceaccount:default:default');
    assert.deepEqual(claims['kubernetes.io'].pod, { name: 'talker', uid: pod.metadata.uid });
    assert.notEqual((await inPod('quiet', '/bin/cat', `${folder}/token`)).code, 0, 'one that wants none has none');
  });

  it('lets a pod say how it is doing, as an annotation of its own', async () => {
    const said = await until(
      async () => {
        // The way to the API is a Service as any other: the proxy may hear of it a moment later.
        const one = await troupe('annotate', 'pod', 'talker', 'troupe.dev/status-text=warming up');
        return one.code === 0 ? one : undefined;
      },
      { what: 'the pod annotates itself', timeoutMs: 30_000 },
    );
    assert.match(said.output, /pod\/talker annotated/);
    assert.equal(
      (await client.get('pods', 'default/talker'))?.metadata.annotations?.['troupe.dev/status-text'],
      'warming up',
    );
  });

  it('refuses it everything else, with a word that says what it may', async () => {
    for (const words of [
      ['annotate', 'pod', 'quiet', 'a=b'],
      ['label', 'pod', 'talker', 'a=b'],
      ['get', 'secrets'],
      ['get', 'pods'],
      ['delete', 'pod', 'talker'],
    ]) {
      const { code, output } = await troupe(...words);
      assert.equal(code, 1, `${words.join(' ')}: ${output}`);
      assert.match(
        output,
        /may read its own pod "talker" and patch the annotations of it, nothing else/,
        words.join(' '),
      );
    }
    assert.ok(await client.get('pods', 'default/talker'));
  });

  it('renews the file after the agent was killed', async () => {
    const token = async (): Promise<string> => (await inPod('talker', '/bin/cat', `${folder}/token`)).output;
    const before = await token();
    cluster.kill('node-agent');
    const after = await until(
      async () => {
        const now = await token();
        return now !== before ? now : undefined;
      },
      { what: 'a new token in the same file', timeoutMs: 40_000 },
    );
    assert.equal(after.split('.').length, 3);
    assert.equal((await troupe('get', 'pod', 'talker')).code, 0);
  });

  it('gives a token only for a pod that is there, and it ends with the pod', async () => {
    const request: TokenRequest = { spec: { boundObjectRef: { kind: 'Pod', name: 'quiet' } } };
    const ask = () =>
      client.call<TokenRequest>('troupe.v1.ServiceAccounts', 'CreateToken', {
        ...{ namespace: 'default', name: 'default', request },
      });
    assert.ok((await ask()).status?.token);
    await client.delete('pods', 'default/quiet', { gracePeriodSeconds: 0 });
    await until(async () => (await client.get('pods', 'default/quiet')) === undefined, { what: 'it is gone' });
    await assert.rejects(ask(), /pods "quiet" not found/);
  });
});

/** This `troupe` with its node, beside a few commands of busybox. */
async function importTroupe(docker: Docker): Promise<void> {
  const pack = tar.pack();
  for (const { path, content, mode } of await withLibraries([{ file: process.execPath, path: '/bin/node' }])) {
    if (content !== undefined)
      pack.entry({ name: path.slice(1), ...(mode === undefined ? {} : { mode }) }, Buffer.from(content));
  }
  for (const file of ['cli.js', 'package.json']) pack.entry({ name: `app/${file}` }, readFileSync(`dist/${file}`));
  const busybox = execFileSync('sh', ['-c', 'command -v busybox']).toString().trim();
  pack.entry({ name: 'bin/busybox', mode: 0o755 }, readFileSync(busybox));
  for (const applet of ['sleep', 'cat', 'env'])
    pack.entry({ name: `bin/${applet}`, type: 'symlink', linkname: 'busybox' });
  pack.finalize();
  await importImage(docker, Readable.from(pack), 'troupe-test/troupe:1');
}
