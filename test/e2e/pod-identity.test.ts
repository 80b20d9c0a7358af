import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import Docker from 'dockerode';
import tar from 'tar-stream';
import { withLibraries } from '../../examples/images/programs.ts';
import type { Pod, TokenRequest } from '../../lib/api/objects.ts';
import { isReady } from '../../lib/api/pods.ts';
import type { Client } from '../../lib/client/client.ts';
import { importImage } from '../../node-agent/runtime/docker-images.ts';
import { newDockerRuntime } from '../../node-agent/runtime/docker-runtime.ts';
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

  it('lets a pod reach REST where clients of Kubernetes look for it', async () => {
    const ask = (path: string): string => `
      const fs = require('fs'), https = require('https'), folder = '${folder}/';
      const headers = { authorization: 'Bearer ' + fs.readFileSync(folder + 'token', 'utf8') };
      const to = { host: 'kubernetes.default.svc', port: process.env.KUBERNETES_SERVICE_PORT_HTTPS, path: '${path}' };
      https.get({ ...to, headers, ca: fs.readFileSync(folder + 'ca.crt') }, (reply) => {
        let text = '';
        reply.on('data', (part) => (text += part)).on('end', () => console.log(reply.statusCode, text));
      });`;
    const own = await until(
      async () => {
        const said = await inPod('talker', '/bin/node', '-e', ask('/api/v1/namespaces/default/pods/talker'));
        return said.code === 0 ? said : undefined;
      },
      { what: 'REST answers the pod', timeoutMs: 30_000 },
    );
    assert.match(own.output, /^200 \{"apiVersion":"v1","kind":"Pod"|^200 \{"kind":"Pod"/);
    const { output } = await inPod('talker', '/bin/node', '-e', ask('/api/v1/namespaces/default/secrets'));
    assert.match(output, /^403 .*may read its own pod \\"talker\\" and patch the annotations of it, nothing else/);
  });

  it('lets a pod reach the API under the name kubernetes.default', async () => {
    const endpoints = await client.get('endpoints', 'default/kubernetes');
    assert.equal(endpoints?.subsets?.[0]?.addresses?.length, 1);
    const node = ['/bin/env', 'KUBERNETES_SERVICE_HOST=kubernetes.default', '/bin/node', '/app/cli.js'];
    const { code, output } = await inPod('talker', ...node, 'get', 'pod', 'talker');
    assert.equal(code, 0, output);
    assert.match(output, /talker/);
  });

  it('keeps that way open when the API server starts again on another port', async () => {
    const portNow = async (): Promise<number | undefined> =>
      (await client.get('endpoints', 'default/kubernetes').catch(() => undefined))?.subsets?.[0]?.ports?.[0]?.port;
    const before = await portNow();
    cluster.kill('apiserver');
    await until(
      async () => {
        const port = await portNow();
        return port !== undefined && port !== before;
      },
      { what: 'the new port among the Endpoints', timeoutMs: 30_000 },
    );
    await until(async () => (await client.get('endpoints', 'default/kubernetes'))?.subsets?.length === 1, {
      what: 'the former one is gone',
    });
    await until(async () => (await troupe('get', 'pod', 'talker')).code === 0, {
      what: 'the pod to reach it',
      timeoutMs: 20_000,
    });
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

  it("lets a checker of one's own relabel the sick of its namespace, as the example says", async () => {
    // The commands of its README, with the socket and the names that they leave open.
    const readme = readFileSync('examples/health-checker/README.md', 'utf8');
    const lines = [...readme.matchAll(/```sh\n([^]*?)```/g)].flatMap(([, block = '']) => block.trim().split('\n'));
    const [build, apply, list, spoil, quarantined, logs, release] = lines.map((line) => line.replace(/ +#.*$/, ''));
    const say = (line = '', name = ''): string => {
      const text = line.replace('PATH', cluster.dockerSocket).replace('NAME', name).replaceAll('"', '');
      const [, program, command = '', ...rest] = text.split(' ');
      const args =
        program === 'troupe'
          ? ['bin/troupe.js', command, '--server', cluster.server, ...rest]
          : ['--import', 'tsx', command, ...rest];
      return execFileSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 });
    };
    say(build);
    say(apply);
    const patients = async (): Promise<readonly string[]> => {
      const { items } = await client.list('pods', { namespace: 'default', labelSelector: 'app=patient' });
      return items.filter(isReady).map(({ metadata }) => metadata.name);
    };
    const two = async (): Promise<readonly string[] | undefined> => {
      const all = await patients();
      return all.length === 2 ? all : undefined;
    };
    const [sick = '', well = ''] = await until(two, { what: 'two are ready', timeoutMs: 60_000 });
    assert.match(say(list), new RegExp(sick));
    await until(async () => say(logs).includes('checking app=patient'), {
      ...{ what: 'the checker works', timeoutMs: 30_000, everyMs: 200 },
    });
    say(spoil, sick);
    await until(async () => (await two())?.includes(sick) === false, { what: 'another serves', timeoutMs: 60_000 });
    assert.match(say(quarantined), new RegExp(`${sick} .*Running,Quarantined`));
    assert.ok((await patients()).includes(well), 'who is well stays');
    assert.match(say(logs), new RegExp(`${sick} is sick: in quarantine`));
    assert.equal(say(release, sick), `pod/${sick} deleted\n`);
    for (const name of ['checker', 'patient'])
      await client.delete('replicationcontrollers', `default/${name}`, { propagationPolicy: 'Background' });
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
