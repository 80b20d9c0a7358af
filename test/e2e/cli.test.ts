import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newClient } from '../../lib/client/grpc-client.ts';
import type { Client } from '../../lib/client/client.ts';
import { aPod } from '../support/builders.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';

/** The command as people run it, against an apiserver process: no controllers, so that nothing moves by itself. */
describe('e2e/cli', function () {
  this.timeout(60_000);
  let folder: string;
  let address: string;
  let apiserver: ChildProcess;
  let client: Client;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'troupe-cli-e2e-'));
    address = `127.0.0.1:${await freePort()}`;
    apiserver = await startApiserver();
    client = newClient({ address });
  });
  after(() => {
    client?.close();
    apiserver?.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  it('says what to do when nobody is there', async () => {
    const { code, err, out } = await troupe(['get', 'pods', '--server', '127.0.0.1:1']);
    assert.deepEqual([code, out], [1, '']);
    assert.equal(
      err,
      'error: the apiserver at 127.0.0.1:1 cannot be reached (ECONNREFUSED)\n' +
        '  to do: start a cluster here with "troupe up", or name another with --server (now 127.0.0.1:1)\n',
    );
  });

  it('applies a folder, finds it unchanged, and sees what scaling changed', async () => {
    const first = await troupe(['apply', '-f', 'examples/guestbook/']);
    assert.equal(first.code, 0, first.err);
    assert.equal(first.err, '');
    assert.match(first.out, /^service\/frontend created$/m);
    assert.match(first.out, /^replicationcontroller\/frontend created$/m);
    const second = await troupe(['apply', '-f', 'examples/guestbook/']);
    assert.ok(
      second.out
        .trim()
        .split('\n')
        .every((line) => line.endsWith(' unchanged')),
      second.out,
    );
    assert.equal(
      (await troupe(['scale', 'rc/frontend', '--replicas=5'])).out,
      'replicationcontroller/frontend scaled from 3 to 5\n',
    );
    const third = await troupe(['apply', '-f', 'examples/guestbook/', '--dry-run']);
    assert.match(third.out, /^replicationcontroller\/frontend configured \(dry run\)$/m);
    assert.equal((await client.get('replicationcontrollers', 'default/frontend'))?.spec.replicas, 5);
    assert.equal((await troupe(['apply', '-f', 'examples/guestbook/'])).code, 0);
    assert.equal((await client.get('replicationcontrollers', 'default/frontend'))?.spec.replicas, 3);
  });

  it('takes back what it gave out', async () => {
    const given = (await troupe(['get', 'services,rc', '-o', 'yaml'])).out;
    assert.equal((await troupe(['apply', '-f', '-'], given)).code, 0);
    const again = await troupe(['apply', '-f', '-'], given);
    assert.ok(
      again.out
        .trim()
        .split('\n')
        .every((line) => line.endsWith(' unchanged')),
      again.out,
    );
    const service = await troupe(['get', 'service', 'frontend', '-o', 'json']);
    assert.equal((await troupe(['delete', 'service', 'frontend'])).code, 0);
    assert.equal((await troupe(['apply', '-f', '-'], service.out)).out, 'service/frontend created\n');
  });

  it('names the field, the value, the rule and the place of every mistake at once', async () => {
    const file = join(folder, 'bad.yaml');
    writeFileSync(
      file,
      'apiVersion: v1\nkind: Pod\nmetadata:\n  name: Bad_Name\nspec:\n  containers:\n    - name: a\n      image: x\n      ports: [{containerPort: 70000}]\n',
    );
    const { code, err } = await troupe(['apply', '-f', file]);
    assert.equal(code, 1);
    assert.match(err, /^error: could not apply pod\/Bad_Name \(.*bad\.yaml:1\): it breaks 2 rules$/m);
    assert.match(
      err,
      /^ {2}field: metadata\.name \(.*bad\.yaml:4:3\)\n {2}value: "Bad_Name"\n {2}rule: {2}.*'B' at position 1/m,
    );
    assert.match(
      err,
      /^ {2}field: spec\.containers\[0\]\.ports\[0\]\.containerPort \(.*bad\.yaml:9:16\)\n {2}value: 70000$/m,
    );
  });

  it('warns of fields nobody knows, and refuses them with --strict', async () => {
    const manifest = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}\ndatas: {}\n';
    const warned = await troupe(['apply', '-f', '-'], manifest);
    assert.equal(warned.out, 'configmap/c created\n');
    assert.match(warned.err, /^warning: standard input:1: configmap\/c: unknown field "datas"$/m);
    const strict = await troupe(['apply', '-f', '-', '--strict'], manifest.replace('a: b', 'a: c'));
    assert.equal(strict.code, 1);
    assert.match(strict.err, /unknown field "datas"/);
  });

  it('labels, selects, describes and deletes', async () => {
    const { metadata, spec } = aPod({ name: 'p1', labels: { app: 'x' } });
    await client.create('pods', {
      metadata: { name: 'p1', namespace: 'default', labels: metadata.labels ?? {} },
      spec,
    });
    assert.equal((await troupe(['label', 'pod', 'p1', 'stage=production'])).code, 0);
    const selected = await troupe(['get', 'pods', '-l', 'stage==production && app==x', '-o', 'name']);
    assert.equal(selected.out, 'pod/p1\n', selected.err);
    assert.match((await troupe(['describe', 'pod', 'p1'])).out, /^Node: +<none yet>$/m);
    assert.match((await troupe(['get', 'pods', '-l', 'a in b'])).err, /found character 'b' at position 6/);
    assert.equal((await troupe(['delete', 'pod', 'p1'])).out, 'pod/p1 deleted\n');
    assert.match((await troupe(['get', 'pods'])).err, /No resources found in default namespace\./);
  });

  it('watches across a restart of the apiserver, and ends cleanly with Ctrl-C', async () => {
    const watching = begin(['get', 'configmaps', '-w', '-o', 'name']);
    await until(() => watching.out().includes('configmap/c\n'), { timeoutMs: 10_000, what: 'the first list' });
    await client.create('configmaps', { metadata: { name: 'before', namespace: 'default' } });
    await until(() => watching.out().includes('configmap/before'), { timeoutMs: 10_000, what: 'a change' });
    const exited = new Promise((resolve) => apiserver.once('exit', resolve));
    apiserver.kill('SIGKILL');
    await exited;
    await until(() => watching.err().includes('is lost; trying again'), {
      timeoutMs: 15_000,
      what: 'the loss to be told',
    });
    apiserver = await startApiserver();
    await until(() => client.create('configmaps', { metadata: { name: 'after', namespace: 'default' } }), {
      timeoutMs: 15_000,
      what: 'the API',
    });
    await until(() => watching.out().includes('configmap/after'), {
      timeoutMs: 20_000,
      what: 'a change after the restart',
    });
    watching.child.kill('SIGINT');
    assert.deepEqual(await watching.ended, { code: 0, signal: null });
    assert.ok(!watching.err().includes('at '), watching.err());
  });

  it('ends quietly when its reader has seen enough', async () => {
    const text = await new Promise<string>((resolve) => {
      const child = spawn('bash', [
        '-c',
        `node bin/troupe.js get services,rc -o yaml --server ${address} | head -1; echo "\${PIPESTATUS[0]}"`,
      ]);
      let said = '';
      child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
      child.on('close', () => {
        resolve(said);
      });
    });
    assert.equal(text, 'apiVersion: v1\n0\n');
  });

  async function startApiserver(): Promise<ChildProcess> {
    const args = [
      'dist/apiserver.js',
      '--data',
      join(folder, 'api'),
      '--listen',
      address,
      '--nats',
      '',
      '--telemetry',
      '',
    ];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await until(() => said.includes('"serving"') || child.exitCode !== null, {
      timeoutMs: 20_000,
      what: () => `the apiserver: ${said}`,
    });
    assert.equal(child.exitCode, null, said);
    return child;
  }

  function begin(words: readonly string[], stdin?: string) {
    const child = spawn(process.execPath, ['bin/troupe.js', ...words], {
      env: { ...process.env, TROUPE_SERVER: address, NO_COLOR: '1' },
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    child.stdin.end(stdin ?? '');
    const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
      child.on('close', (code, signal) => {
        resolve({ code, signal });
      });
    });
    return { child, ended, out: () => out, err: () => err };
  }

  async function troupe(
    words: readonly string[],
    stdin?: string,
  ): Promise<{ code: number | null; out: string; err: string }> {
    const running = begin(words, stdin);
    const { code } = await running.ended;
    return { code, out: running.out(), err: running.err() };
  }
});
