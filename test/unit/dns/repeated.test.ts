import assert from 'node:assert/strict';
import dnsPacket from 'dns-packet';
import { systemClock } from '../../../lib/base/clock.ts';
import { silentLog } from '../../../lib/base/log.ts';
import { Forwarder } from '../../../services/dns/forwarder.ts';
import { Repeated } from '../../../services/dns/repeated.ts';
import { Resolver } from '../../../services/dns/resolver.ts';
import { readQuery } from '../../../services/dns/wire.ts';
import { compile, type Zone } from '../../../services/dns/zone.ts';
import { aService, anEndpoints } from '../../support/builders.ts';

describe('dns/repeated', () => {
  const zoneWith = (clusterIP: string): Zone =>
    compile(
      [aService({ name: 'web', clusterIP }), aService({ name: 'db', clusterIP: 'None' })],
      () => anEndpoints({ ips: ['10.244.0.1', '10.244.0.2'] }),
      { domain: 'cluster.local', ttl: 5, serial: 1 },
    );
  const asked = (name: string, id: number, type: 'A' | 'AAAA' = 'A'): Buffer =>
    dnsPacket.encode({ type: 'query', id, flags: dnsPacket.RECURSION_DESIRED, questions: [{ type, name }] });
  const told: string[] = [];
  let zone: Zone | undefined;
  let resolver: Resolver;
  beforeEach(() => {
    told.length = 0;
    zone = zoneWith('10.96.0.20');
    resolver = new Resolver({
      ...{ zone: () => zone, domain: 'cluster.local', completeSearch: true, clock: systemClock, log: silentLog },
      forwarder: new Forwarder({ upstreams: () => [], clock: systemClock, log: silentLog }),
      onAnswer: (kind, rcode) => told.push(`${kind} ${rcode}`),
    });
  });
  /** As the server does for a datagram: the answer, and whether it was there already. */
  const ask = (message: Buffer): { bytes: Buffer; repeated: boolean; data: readonly unknown[] } => {
    const known = resolver.repeat(message);
    const query = readQuery(message);
    assert(!('bad' in query));
    const made = known ?? resolver.answer(query);
    assert(!(made instanceof Promise));
    if (known === undefined) resolver.keep(message, made);
    const { answers = [] } = dnsPacket.decode(made);
    return { bytes: made, repeated: known !== undefined, data: answers.map((each) => 'data' in each && each.data) };
  };

  it('gives the same answer with the id of who asks, and counts it like the first', () => {
    const [first, second] = [1, 2].map((id) => ask(asked('web.default.svc.cluster.local', id)));
    assert.deepEqual([first?.repeated, second?.repeated], [false, true]);
    assert.deepEqual([first?.bytes.readUInt16BE(0), second?.bytes.readUInt16BE(0)], [1, 2]);
    assert.deepEqual(first?.bytes.subarray(2), second?.bytes.subarray(2));
    assert.deepEqual(told, ['cluster 0', 'cluster 0']);
  });

  it('knows types, spellings and names that are not there apart', () => {
    const name = 'web.default.svc.cluster.local';
    for (const message of [asked(name, 1), asked(name, 1, 'AAAA'), asked('Web.default.svc.cluster.local', 1)])
      assert.equal(ask(message).repeated, false);
    for (let i = 0; i < 2; i++) assert.equal(ask(asked('nobody.default.svc.cluster.local', i)).repeated, i === 1);
    assert.deepEqual(told.slice(-2), ['cluster 3', 'cluster 3']);
  });

  it('forgets with the zone that it is from', () => {
    ask(asked('web.default.svc.cluster.local', 1));
    zone = zoneWith('10.96.0.21');
    assert.deepEqual(ask(asked('web.default.svc.cluster.local', 2)).data, ['10.96.0.21']);
    zone = undefined;
    assert.equal(resolver.repeat(asked('web.default.svc.cluster.local', 3)), undefined);
  });

  it('makes an answer of several anew each time, since each begins with another', () => {
    const firsts = [1, 2].map((id) => ask(asked('db.default.svc.cluster.local', id)).data[0]);
    assert.deepEqual(firsts.toSorted(), ['10.244.0.1', '10.244.0.2']);
  });

  it('keeps a bounded number', () => {
    const repeated = new Repeated<string>();
    for (let i = 0; i < 20_000; i++) {
      const message = asked(`n${i}.default.svc.cluster.local`, 1);
      repeated.keep(message, zone, { answer: message, told: '' });
    }
    assert(repeated.size <= 8_192, String(repeated.size));
  });
});
