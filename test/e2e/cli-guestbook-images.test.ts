import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import type { Container } from 'dockerode';
import { startDockerEngine, whyNoDocker, type DockerEngine } from '../support/docker-engine.ts';
import { until } from '../support/until.ts';

/** The images by themselves: built twice on an engine of their own, then run together on one loopback interface. */
describe('e2e/guestbook images', function () {
  this.timeout(180_000);
  let engine: DockerEngine;

  before(async function () {
    const why = whyNoDocker();
    if (why !== undefined) {
      console.warn(`skipped: the images of the Guestbook need an engine: ${why}`);
      this.skip();
    }
    engine = await startDockerEngine();
  });
  after(async () => {
    await engine?.stop();
  });

  const build = (...words: string[]): Promise<{ code: number; said: string }> =>
    new Promise((resolve) => {
      execFile('examples/guestbook/build-images.sh', words, { timeout: 150_000 }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), said: stdout + stderr });
      });
    });

  it('are built once, and left alone by a second run', async () => {
    const first = await build('--docker-socket', engine.socketPath);
    assert.equal(first.code, 0, first.said);
    assert.match(first.said, /troupe\/redis:1 built/);
    assert.match(first.said, /troupe\/guestbook-frontend:1 built/);
    const second = await build('--docker-socket', engine.socketPath);
    assert.equal(second.code, 0, second.said);
    assert.match(second.said, /troupe\/redis:1 is there already\ntroupe\/guestbook-frontend:1 is there already/);
  });

  it('say which engine did not answer and what to do', async () => {
    const { code, said } = await build('--docker-socket', '/nowhere/docker.sock');
    assert.equal(code, 1);
    assert.match(said, /^error: no Docker engine answers at \/nowhere\/docker\.sock .*--docker-socket or DOCKER_HOST/m);
  });

  it('store an entry in the master, copy it to the replica and show it', async () => {
    const master = await start('troupe/redis:1', ['--save', ''], {
      NetworkMode: 'none',
      ExtraHosts: ['redis-master:127.0.0.1', 'redis-replica:127.0.0.1'],
    });
    const shared = { NetworkMode: `container:${master.id}` };
    await start('troupe/redis:1', ['--save', '', '--port', '6380', '--replicaof', 'redis-master', '6379'], shared);
    const web = await start('troupe/guestbook-frontend:1', [], shared, ['REDIS_REPLICA_SERVICE_PORT=6380']);

    await until(async () => (await call(web, '/healthz')).startsWith('200'), {
      timeoutMs: 20_000,
      what: 'the frontend',
    });
    await until(
      async () => (await inside(master, ['redis-cli', 'info', 'replication'])).includes('connected_slaves:1'),
      {
        timeoutMs: 20_000,
        what: 'the replica to follow the master',
      },
    );
    assert.match(await call(web, '/entries', 'entry=hello+%3Cb%3E+there'), /^200 /, 'follows the redirect to the page');
    const answer = await until(
      async () => {
        const text = await call(web, '/entries');
        return text.includes('hello') ? text : undefined;
      },
      { timeoutMs: 10_000, what: 'the entry to reach the replica' },
    );
    assert.match(answer, /^200 \{"entries":\["hello <b> there"\],"servedBy":"[^"]+"\}/);
    assert.match(await call(web, '/'), /hello &lt;b&gt; there/);
    assert.match(await call(web, '/entries', 'entry=+'), /^400 .*the entry is empty/);
    assert.match(await inside(master, ['redis-cli', '-p', '6380', 'lrange', 'entries', '0', '-1']), /hello <b> there/);
  });

  it('end at once when they are told to', async () => {
    for (const { Id } of await engine.docker.listContainers()) {
      const container = engine.docker.getContainer(Id);
      await container.kill({ signal: 'SIGTERM' });
      await container.wait();
      assert.equal((await container.inspect()).State.ExitCode, 0);
    }
  });

  async function start(image: string, args: string[], HostConfig: object, Env: string[] = []): Promise<Container> {
    const container = await engine.docker.createContainer({ Image: image, Cmd: args, Env, HostConfig });
    await container.start();
    return container;
  }

  /** Asks the web server from inside its container: status and body. */
  const call = (web: Container, path: string, form?: string): Promise<string> => {
    const init = form === undefined ? {} : { method: 'POST', body: form, headers: { 'content-type': formType } };
    const script = `const a = await fetch('http://127.0.0.1:8080${path}', ${JSON.stringify(init)}); console.log([a.status, await a.text()].join(" "))`;
    return inside(web, ['node', '--input-type=module', '-e', script]);
  };
  const formType = 'application/x-www-form-urlencoded';

  async function inside(container: Container, Cmd: string[]): Promise<string> {
    const run = await container.exec({ Cmd, AttachStdout: true, AttachStderr: true, Tty: true });
    const stream = await run.start({ Tty: true });
    let text = '';
    for await (const chunk of stream as AsyncIterable<Buffer>) text += chunk.toString();
    return text.replaceAll('\r\n', '\n');
  }
});
