import assert from 'node:assert/strict';
import dnsPacket from 'dns-packet';
import fc from 'fast-check';
import { readQuery, recordsOf, type Query } from '../../../services/dns/wire.ts';
import { fit, writeQuery, writeQuestion, writeResponse } from '../../../services/dns/wire-write.ts';
import type { DnsRecord } from '../../../services/dns/records.ts';

const ask = (name: string, extra: Partial<dnsPacket.Packet> = {}): Buffer =>
  dnsPacket.encode({
    type: 'query',
    id: 77,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ type: 'A', name }],
    ...extra,
  });
function queryOf(message: Buffer): Query {
  const query = readQuery(message);
  assert(!('bad' in query));
  return query;
}

describe('dns/wire', () => {
  it('reads a question, and repeats its spelling', () => {
    const query = queryOf(ask('WeB.Default.svc.cluster.local'));
    assert.equal(query.name, 'web.default.svc.cluster.local');
    const answers = [{ type: 'A', name: query.name, ttl: 5, address: '10.96.0.20' }] as const;
    const answer = dnsPacket.decode(writeResponse(query, { rcode: 'NOERROR', authoritative: true, answers }));
    assert.equal(answer.id, 77);
    assert.equal(answer.questions?.[0]?.name, 'WeB.Default.svc.cluster.local');
    assert.deepEqual(
      answer.answers?.map((each) => 'data' in each && [each.name, each.data]),
      [['WeB.Default.svc.cluster.local', '10.96.0.20']],
    );
  });

  it('reads what an asker says of EDNS, and answers in kind', () => {
    const opt = {
      type: 'OPT',
      name: '.',
      udpPayloadSize: 4096,
      flags: dnsPacket.DNSSEC_OK,
      options: [],
    } as unknown as dnsPacket.Answer;
    const query = queryOf(ask('a.b', { additionals: [opt] }));
    assert.deepEqual(query.edns, { udpSize: 4096, dnssecOk: true, version: 0 });
    const answer = dnsPacket.decode(writeResponse(query, { rcode: 'NXDOMAIN' }));
    assert.equal(answer.additionals?.[0]?.type, 'OPT');
    assert.equal((answer as { rcode?: string }).rcode, 'NXDOMAIN');
  });

  it('never throws, whatever arrives, and answers only questions', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const read = readQuery(Buffer.from(bytes));
        if (bytes.length < 12 || ((bytes[2] ?? 0) & 0x80) !== 0) assert('bad' in read && read.bad === undefined);
      }),
    );
    fc.assert(
      fc.property(fc.nat(40), fc.nat(255), (at, value) => {
        const message = ask('web.default.svc.cluster.local');
        message[at % message.length] = value;
        readQuery(message);
      }),
    );
  });

  it('writes what another implementation reads', () => {
    const label = fc.stringMatching(/^[a-z0-9]{1,12}$/);
    const name = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join('.'));
    const ip = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)).map((parts) => parts.join('.'));
    const number = fc.nat(65_535);
    const record: fc.Arbitrary<DnsRecord> = fc.oneof(
      fc.record({ type: fc.constant('A' as const), name, ttl: number, address: ip }),
      fc.record({ type: fc.constantFrom('CNAME' as const, 'PTR' as const), name, ttl: number, target: name }),
      fc.record({
        type: fc.constant('SRV' as const),
        name,
        ttl: number,
        priority: number,
        weight: number,
        port: number,
        target: name,
      }),
      fc.record({ type: fc.constant('TXT' as const), name, ttl: number, text: label }),
    );
    fc.assert(
      fc.property(name, fc.array(record, { maxLength: 60 }), (asked, answers) => {
        const response = writeResponse(queryOf(ask(asked)), { rcode: 'NOERROR', answers });
        const read = dnsPacket.decode(response).answers ?? [];
        assert.deepEqual(read.map(plain), answers.map(plainOwn));
        assert.equal([...recordsOf(response)].length, answers.length);
      }),
    );
  });

  it('keeps a set of seventy addresses within one datagram, and says when one does not fit', () => {
    const edns = { type: 'OPT', name: '.', udpPayloadSize: 1232, flags: 0, options: [] } as unknown as dnsPacket.Answer;
    const query = queryOf(ask('db.default.svc.cluster.local', { additionals: [edns] }));
    const answers = Array.from({ length: 70 }, (_, i) => ({
      ...{ type: 'A' as const, name: query.name, ttl: 5 },
      address: `10.244.0.${i}`,
    }));
    const whole = writeResponse(query, { rcode: 'NOERROR', answers });
    assert.equal(fit(query, whole), whole);
    const small = { ...query, edns: undefined };
    const short = dnsPacket.decode(fit(small, whole));
    assert.equal(short.flag_tc, true);
    assert.equal(short.answers?.length, 0);
    assert.equal(short.questions?.[0]?.name, 'db.default.svc.cluster.local');
  });

  it('writes questions that another implementation reads', () => {
    const question = dnsPacket.decode(writeQuery(5, writeQuestion('api.github.com', 28), undefined));
    assert.deepEqual(question.questions, [{ name: 'api.github.com', type: 'AAAA', class: 'IN' }]);
    assert.equal(question.flag_rd, true);
  });
});

function plain(record: dnsPacket.Answer): unknown {
  const { type, name, ttl, data } = record as { type: string; name: string; ttl: number; data: unknown };
  if (type === 'TXT') return { type, name, ttl, text: (data as Buffer[]).map(String).join('') };
  if (type === 'SRV') return { type, name, ttl, ...(data as object) };
  return { type, name, ttl, ...(type === 'A' ? { address: data } : { target: data }) };
}
const plainOwn = (record: DnsRecord): unknown => ({ ...record });
