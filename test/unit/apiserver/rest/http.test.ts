import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { connect as connectHttp2 } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { loadCertificates, type Certificates } from '../../../../services/apiserver/identity/certificates.ts';
import { aDoor, closeDoors } from './a-door.ts';

const maps = '/api/v1/namespaces/default/configmaps';

describe('apiserver/rest: connections', () => {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-pki-'));
  let made: Certificates;
  before(async () => {
    made = await loadCertificates(folder, ['127.0.0.1', 'localhost'], Date.now());
  });
  after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(closeDoors);

  const secure = () => ({ certificate: { ...made.server, clientCa: made.authority.cert } });

  interface Tls {
    readonly cert?: string;
    readonly key?: string;
  }
  const ask = (
    url: string,
    tls: Tls,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: string }> =>
    new Promise((resolve, reject) => {
      const request = httpsRequest(url, { ca: made.authority.cert, ...tls, headers, agent: false }, (reply) => {
        const parts: Buffer[] = [];
        reply.on('data', (part: Buffer) => parts.push(part));
        reply.on('end', () => {
          resolve({ status: reply.statusCode ?? 0, body: Buffer.concat(parts).toString('utf8') });
        });
      });
      request.on('error', reject);
      request.end();
    });

  it('lets in who shows a certificate of its authority, and nobody else', async () => {
    const door = await aDoor({ fallback: undefined } as never, secure());
    const url = `${door.url}${maps}`;
    assert.equal((await ask(url, made.admin)).status, 200);
    assert.equal((await ask(url, {})).status, 401);
    const other = await loadCertificates(join(folder, 'other'), ['127.0.0.1'], Date.now());
    assert.equal((await ask(url, other.admin)).status, 401);
    assert.equal((await ask(url, {}, { authorization: 'Bearer nonsense' })).status, 401);
    assert.equal((await ask(`${door.url}/livez`, {})).status, 200);
  });

  it('speaks HTTP/2 to those who do', async () => {
    const door = await aDoor({}, secure());
    const session = connectHttp2(door.url, { ca: made.authority.cert, ...made.admin });
    try {
      const stream = session.request({ ':path': '/version' });
      let text = '';
      for await (const part of stream) text += String(part);
      assert.match(text, /gitVersion/);
    } finally {
      session.close();
    }
  });

  it('keeps its certificates, makes new ones for other names, and lets nobody else read the keys', async () => {
    const again = await loadCertificates(folder, ['127.0.0.1', 'localhost'], Date.now());
    assert.deepEqual(again, made);
    const renamed = await loadCertificates(folder, ['127.0.0.1', 'api.example'], Date.now());
    assert.deepEqual([renamed.authority, renamed.admin], [made.authority, made.admin]);
    assert.notEqual(renamed.server.cert, made.server.cert);
    const later = await loadCertificates(folder, ['127.0.0.1', 'api.example'], Date.now() + 340 * 86_400_000);
    assert.notEqual(later.admin.cert, made.admin.cert, 'about to end');
    for (const name of ['ca', 'server', 'admin']) assert.equal(statSync(join(folder, `${name}.key`)).mode & 0o077, 0);
    made = later;
  });

  it('compresses what is large, for those who take it', async () => {
    const door = await aDoor();
    for (let i = 0; i < 4; i++)
      await door.ask('POST', maps, { metadata: { name: `m${i}` }, data: { a: 'x'.repeat(100_000) } });
    const get = async (accept: string) => {
      const reply = await fetch(`${door.url}${maps}`, { headers: { 'accept-encoding': accept } });
      return { encoding: reply.headers.get('content-encoding'), text: await reply.text() };
    };
    const [plain, packed] = [await get('identity'), await get('gzip')];
    assert.deepEqual([plain.encoding, packed.encoding], [null, 'gzip']);
    assert.equal(packed.text, plain.text);
    assert.equal((JSON.parse(plain.text) as { items: unknown[] }).items.length, 4);
    assert.ok(gunzipSync !== undefined);
  });

  it('refuses a body that is too large while it comes', async () => {
    const door = await aDoor();
    const { status, json } = await door.ask('POST', maps, {
      metadata: { name: 'm' },
      data: { a: 'x'.repeat(4 * 1024 * 1024) },
    });
    assert.deepEqual([status, json['reason']], [413, 'RequestEntityTooLarge']);
  });

  it('lets others in while a long list goes out', async () => {
    const door = await aDoor();
    const objects = Array.from({ length: 3000 }, (_, i) => ({
      metadata: { name: `m${i}` },
      data: { a: 'x'.repeat(500) },
    }));
    await Promise.all(objects.map((object) => door.registry.create('configmaps', 'default', object, {})));
    let longestMs = 0;
    let lastMs = performance.now();
    const timer = setInterval(() => {
      longestMs = Math.max(longestMs, performance.now() - lastMs);
      lastMs = performance.now();
    }, 1);
    const table = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
    const list = await door.ask<{ rows: readonly unknown[] }>('GET', maps, undefined, table);
    clearInterval(timer);
    assert.equal(list.json.rows.length, 3000);
    assert.ok(longestMs < 500, `the process was held up for ${Math.round(longestMs)} ms`);
  });
});
