import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import type { Answer } from 'dns-packet';
import { systemClock } from '../../../lib/base/clock.ts';
import { newLog } from '../../../lib/base/log.ts';
import type { Endpoints, Service } from '../../../lib/api/objects.ts';
import { keyOf } from '../../../lib/api/keys.ts';
import { Forwarder } from '../../../services/dns/forwarder.ts';
import { Resolver } from '../../../services/dns/resolver.ts';
import { serveDns, type DnsServer } from '../../../services/dns/server.ts';
import { serversFor } from '../../../services/dns/upstreams.ts';
import { compile, type Zone } from '../../../services/dns/zone.ts';
import { aService, anEndpoints } from '../../support/builders.ts';
import { startUpstream, type FakeUpstream } from '../../support/dns-upstream.ts';

const exec = promisify(execFile);
const log = newLog('dns-test', { level: 'silent' });

/** A server with everything real but the views. */
interface Fixture {
  readonly server: DnsServer;
  zone: Zone | undefined;
  /** `status: lines of the answer section, data only`. */
  dig(...args: string[]): Promise<string>;
  close(): Promise<void>;
}

interface StartOptions {
  readonly completeSearch?: boolean;
  /** By domain, the port of a server of its own. */
  readonly stubs?: Readonly<Record<string, number>>;
}
async function start(upstreams: readonly { readonly port: number }[], options: StartOptions = {}): Promise<Fixture> {
  const { completeSearch = true, stubs = {} } = options;
  const clock = systemClock;
  const at = (port: number) => ({ host: '127.0.0.1', port });
  const stubDomains = Object.entries(stubs).map(([domain, port]) => ({ domain, upstreams: [at(port)] }));
  const forwarder = new Forwarder({
    upstreams: serversFor(stubDomains, () => upstreams.map(({ port }) => at(port))),
    ...{ clock, log, tryMs: 300, deadlineMs: 1_500 },
  });
  const fixture: { zone: Zone | undefined } = { zone: undefined };
  const resolver = new Resolver({
    zone: () => fixture.zone,
    ...{ domain: 'cluster.local', forwarder, completeSearch, clock, log },
  });
  const server = await serveDns({ resolver, host: '127.0.0.1', port: 0, log });
  return Object.assign(fixture, {
    server,
    async dig(...args: string[]) {
      const { stdout } = await exec('dig', ['@127.0.0.1', '-p', String(server.port), '+tries=1', '+time=5', ...args]);
      const status = /status: (\w+)/.exec(stdout)?.[1] ?? 'none';
      const answer = /;; ANSWER SECTION:\n([\s\S]*?)\n\n/.exec(stdout)?.[1] ?? '';
      const data = answer
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => line.split(/\s+/).slice(3).join(' '));
      return `${status}: ${data.join(', ')}`;
    },
    close: () => server.close(),
  });
}

const zoneOf = (services: readonly Service[], endpoints: readonly Endpoints[] = []): Zone => {
  const byKey = new Map(endpoints.map((each) => [keyOf(each), each]));
  return compile(services, (key) => byKey.get(key), {
    domain: 'cluster.local',
    ttl: 5,
    serial: 1,
    namespaces: ['prod'],
  });
};

describe('dns/server', () => {
  let upstream: FakeUpstream;
  let dns: Fixture;
  const a = (name: string, data: string, ttl = 60): Answer => ({ type: 'A', name, ttl, data });

  beforeEach(async () => {
    upstream = await startUpstream({
      'A api.github.com': [a('api.github.com', '192.0.2.7')],
      'A www.test': [{ type: 'CNAME', name: 'www.test', ttl: 60, data: 'web.test' }, a('web.test', '192.0.2.8')],
      'A big.test': Array.from({ length: 100 }, (_, i) => a('big.test', `192.0.2.${i}`)),
      'TXT txt.test': [{ type: 'TXT', name: 'txt.test', ttl: 60, data: 'hello' }],
    });
    dns = await start([upstream]);
    dns.zone = zoneOf(
      [
        aService({ name: 'web', clusterIP: '10.96.0.20' }),
        aService({ name: 'db', clusterIP: 'None' }),
        aService({ name: 'out', spec: { type: 'ExternalName', externalName: 'www.test' } }),
        aService({ name: 'alias', spec: { type: 'ExternalName', externalName: 'web.default.svc.cluster.local' } }),
        aService({ name: 'loop', spec: { type: 'ExternalName', externalName: 'loop.default.svc.cluster.local' } }),
      ],
      [anEndpoints({ name: 'db', ips: ['10.244.0.1', '10.244.0.2', '10.244.0.3'] })],
    );
  });
  afterEach(async () => {
    await dns.close();
    await upstream.close();
  });

  it('answers for a virtual address by UDP and TCP, in any spelling', async () => {
    assert.equal(await dns.dig('web.default.svc.cluster.local'), 'NOERROR: A 10.96.0.20');
    assert.equal(await dns.dig('+tcp', 'WEB.default.SVC.cluster.local'), 'NOERROR: A 10.96.0.20');
    assert.deepEqual(upstream.asked, []);
  });

  it('answers AAAA at once: the name exists, the address does not', async () => {
    assert.equal(await dns.dig('AAAA', 'web.default.svc.cluster.local'), 'NOERROR: ');
    assert.equal(await dns.dig('AAAA', 'nobody.default.svc.cluster.local'), 'NXDOMAIN: ');
  });

  it('names the zone where nothing is, so that resolvers know how long to believe it', async () => {
    const { stdout } = await exec('dig', [
      '@127.0.0.1',
      '-p',
      String(dns.server.port),
      'nobody.default.svc.cluster.local',
    ]);
    assert.match(stdout, /AUTHORITY SECTION:\ncluster\.local\.\s+5\s+IN\s+SOA\s+ns\.dns\.cluster\.local\./);
  });

  it('begins with another host of a headless service each time', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => dns.dig('db.default.svc.cluster.local')));
    assert.deepEqual(
      answers.sort(),
      [
        'NOERROR: A 10.244.0.1, A 10.244.0.2, A 10.244.0.3',
        'NOERROR: A 10.244.0.2, A 10.244.0.3, A 10.244.0.1',
        'NOERROR: A 10.244.0.3, A 10.244.0.1, A 10.244.0.2',
      ].sort(),
    );
  });

  it('follows an ExternalName outside and inside, and stops where it goes in a circle', async () => {
    assert.equal(
      await dns.dig('out.default.svc.cluster.local'),
      'NOERROR: CNAME www.test., CNAME web.test., A 192.0.2.8',
    );
    assert.equal(
      await dns.dig('alias.default.svc.cluster.local'),
      'NOERROR: CNAME web.default.svc.cluster.local., A 10.96.0.20',
    );
    assert.match(await dns.dig('loop.default.svc.cluster.local'), /^SERVFAIL/);
  });

  it('asks upstream for all other names, once, and counts the time to live down', async () => {
    assert.equal(await dns.dig('api.github.com'), 'NOERROR: A 192.0.2.7');
    assert.equal(await dns.dig('API.github.com'), 'NOERROR: A 192.0.2.7');
    assert.equal(await dns.dig('TXT', 'txt.test'), 'NOERROR: TXT "hello"');
    assert.deepEqual(upstream.asked, ['A api.github.com', 'TXT txt.test']);
  });

  it('remembers that a name does not exist', async () => {
    assert.equal(await dns.dig('nobody.test'), 'NXDOMAIN: ');
    assert.equal(await dns.dig('nobody.test'), 'NXDOMAIN: ');
    assert.deepEqual(upstream.asked, ['A nobody.test']);
  });

  it('lets the same question of many leave once', async () => {
    await Promise.all(Array.from({ length: 10 }, () => dns.dig('api.github.com')));
    assert.deepEqual(upstream.asked, ['A api.github.com']);
  });

  it('answers the first step of a search path with what was meant: one question upstream', async () => {
    const wanted = 'NOERROR: CNAME api.github.com., A 192.0.2.7';
    assert.equal(await dns.dig('api.github.com.default.svc.cluster.local'), wanted);
    assert.equal(await dns.dig('api.github.com.prod.svc.cluster.local'), wanted);
    assert.deepEqual(upstream.asked, ['A api.github.com']);
    assert.equal(
      await dns.dig('web.default.prod.svc.cluster.local'),
      'NOERROR: CNAME web.default.svc.cluster.local., A 10.96.0.20',
    );
    assert.equal(await dns.dig('nobody.test.default.svc.cluster.local'), 'NXDOMAIN: ');
  });

  it('asks upstream once for each type whatever the search path, also for a name that is not there', async () => {
    const path = ['default.svc.cluster.local', 'svc.cluster.local', 'cluster.local'];
    for (const name of ['no.such.app.com', 'api.github.com']) {
      for (const type of ['A', 'AAAA']) {
        for (const domain of path) await dns.dig('+noedns', type, `${name}.${domain}`);
        await dns.dig('+noedns', type, name);
        await dns.dig('+edns', type, name);
      }
    }
    const names = ['no.such.app.com', 'api.github.com'];
    assert.deepEqual(
      upstream.asked,
      names.flatMap((name) => [`A ${name}`, `AAAA ${name}`]),
    );
  });

  it('asks the servers of a stub domain about it and all below it, the longest first', async () => {
    const corp = await startUpstream({ 'A db.corp.internal': [a('db.corp.internal', '10.9.0.1')] });
    const lab = await startUpstream({ 'A x.lab.corp.internal': [a('x.lab.corp.internal', '10.9.0.2')] });
    await dns.close();
    const { zone } = dns;
    dns = await start([upstream], { stubs: { 'corp.internal': corp.port, 'lab.corp.internal': lab.port } });
    dns.zone = zone;
    assert.equal(await dns.dig('db.corp.internal'), 'NOERROR: A 10.9.0.1');
    assert.equal(await dns.dig('X.lab.CORP.internal'), 'NOERROR: A 10.9.0.2');
    const completed = 'NOERROR: CNAME db.corp.internal., A 10.9.0.1';
    assert.equal(await dns.dig('db.corp.internal.default.svc.cluster.local'), completed);
    assert.equal(await dns.dig('api.github.com'), 'NOERROR: A 192.0.2.7');
    assert.equal(await dns.dig('notcorp.internal'), 'NXDOMAIN: ');
    assert.deepEqual(upstream.asked, ['A api.github.com', 'A notcorp.internal']);
    assert.deepEqual([corp.asked.length, lab.asked.length], [1, 1]);
    await Promise.all([corp.close(), lab.close()]);
  });

  it('asks again without EDNS where a server knows nothing of it, and passes none on', async () => {
    const full = upstream.answer;
    upstream.answer = (question, query) =>
      query.additionals?.some(({ type }) => type === 'OPT') ? { flags: 1 } : full(question, query);
    assert.equal(await dns.dig('api.github.com'), 'NOERROR: A 192.0.2.7');
    upstream.answer = (question, query) => ({
      ...full(question, query),
      additionals: [{ type: 'OPT', name: '.', udpPayloadSize: 512, flags: 0, options: [] }] as unknown as Answer[],
    });
    const port = String(dns.server.port);
    const ask = async (edns: string): Promise<string> =>
      (await exec('dig', ['@127.0.0.1', '-p', port, '+tries=1', edns, 'www.test'])).stdout;
    assert.doesNotMatch(await ask('+noedns'), /EDNS/);
    assert.match(await ask('+edns'), /EDNS: version: 0, flags:; udp: 1232/);
    assert.match(await ask('+dnssec'), /EDNS: version: 0, flags: do; udp: 1232/);
    assert.doesNotMatch(await ask('+noedns'), /malformed|EDNS/);
  });

  it('leaves search paths alone when told so', async () => {
    await dns.close();
    const { zone } = dns;
    dns = await start([upstream], { completeSearch: false });
    dns.zone = zone;
    assert.equal(await dns.dig('api.github.com.default.svc.cluster.local'), 'NXDOMAIN: ');
    assert.deepEqual(upstream.asked, []);
  });

  it('says SERVFAIL for the cluster until the first snapshot, and serves outside names meanwhile', async () => {
    const { zone } = dns;
    dns.zone = undefined;
    assert.equal(await dns.dig('web.default.svc.cluster.local'), 'SERVFAIL: ');
    assert.equal(await dns.dig('api.github.com'), 'NOERROR: A 192.0.2.7');
    dns.zone = zone;
    assert.equal(await dns.dig('web.default.svc.cluster.local'), 'NOERROR: A 10.96.0.20');
  });

  it('brings an answer that is too long for a datagram by TCP, both ways', async () => {
    const lines = (await dns.dig('+noedns', 'big.test')).split(', ');
    assert.equal(lines.length, 100);
    assert.equal((await dns.dig('+ignore', '+noedns', 'big.test')).split(': ')[1], '');
  });

  it('goes on to the next server when one is silent or fails, and asks the good one first from then on', async () => {
    const bad = await startUpstream();
    bad.answer = () => undefined;
    await dns.close();
    dns = await start([bad, upstream]);
    assert.equal(await dns.dig('api.github.com'), 'NOERROR: A 192.0.2.7');
    assert.equal(await dns.dig('www.test'), 'NOERROR: CNAME web.test., A 192.0.2.8');
    assert.deepEqual(bad.asked, ['A api.github.com']);
    bad.answer = () => ({ flags: 2 });
    assert.deepEqual(upstream.asked, ['A api.github.com', 'A www.test']);
    await bad.close();
  });

  it('says SERVFAIL when nobody answers, in bounded time', async () => {
    upstream.answer = () => undefined;
    const start = performance.now();
    assert.equal(await dns.dig('slow.test'), 'SERVFAIL: ');
    assert(performance.now() - start < 3_000);
  });

  it('believes only answers to the question that it asked', async () => {
    upstream.answer = () => ({
      questions: [{ type: 'A', name: 'other.test' }],
      answers: [a('other.test', '203.0.113.1')],
    });
    assert.equal(await dns.dig('victim.test'), 'SERVFAIL: ');
  });

  it('refuses what it does not do, and survives what is no message', async () => {
    assert.match(await dns.dig('-c', 'CH', 'TXT', 'version.bind'), /^REFUSED/);
    assert.match(await dns.dig('+opcode=NOTIFY', 'web.default.svc.cluster.local'), /^NOTIMP/);
    assert.match(await dns.dig('+edns=1', '+noednsneg', 'web.default.svc.cluster.local'), /^BADVERS/);
    const socket = connect(dns.server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    await new Promise((resolve) => {
      socket.on('close', resolve);
      socket.write(Buffer.from([0, 4, 1, 2, 3, 4]));
    });
    assert.equal(await dns.dig('web.default.svc.cluster.local'), 'NOERROR: A 10.96.0.20');
  });
});
