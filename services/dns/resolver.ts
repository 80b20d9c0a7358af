import { messageOf } from '../../lib/base/errors.ts';
import type { Clock } from '../../lib/base/clock.ts';
import type { Log } from '../../lib/base/log.ts';
import { meantBy } from './completion.ts';
import type { Forwarder, Stored } from './forwarder.ts';
import { rcodes, typeName, typeNumbers, type DnsRecord, type Rcode } from './records.ts';
import { Repeated } from './repeated.ts';
import { addressRecords, plainEdns, rcodeOf, type Query } from './wire.ts';
import { readdress, writeQuestion, writeResponse } from './wire-write.ts';
import type { Lookup, Zone } from './zone.ts';

export interface ResolverOptions {
  /** Undefined until the first complete snapshot: until then the cluster's names are answered with SERVFAIL. */
  readonly zone: () => Zone | undefined;
  readonly domain: string;
  readonly forwarder: Forwarder;
  /** Walk a pod's search path for it; see `meantBy`. */
  readonly completeSearch: boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly onAnswer?: (kind: AnswerKind, rcode: number) => void;
}
export type AnswerKind = 'cluster' | 'completed' | 'external' | 'refused';

interface Said {
  readonly kind: AnswerKind;
  readonly rcode: number;
}

const internet = 1;
const any = 255;
const mostLinks = 8;

/** Answers questions: the cluster's own names from the zone, all others by asking on. Never rejects. */
export class Resolver {
  readonly #o: ResolverOptions;
  #turn = 0;
  readonly #repeated = new Repeated<Said>();
  /** Of the answer made last. */
  #said: Said = { kind: 'refused', rcode: 0 };

  constructor(options: ResolverOptions) {
    this.#o = options;
  }

  /** The answer to a datagram that was asked before, where nothing has changed since. */
  repeat(message: Buffer): Buffer | undefined {
    const found = this.#repeated.find(message, this.#o.zone());
    if (found === undefined) return undefined;
    this.#o.onAnswer?.(found.told.kind, found.told.rcode);
    return found.answer;
  }

  /** Keeps what `answer` gave for a datagram, as it is sent; to be called before anything else is asked, and only where nobody else had to be. */
  keep(message: Buffer, answer: Buffer): void {
    this.#repeated.keep(message, this.#o.zone(), { answer, told: this.#said });
  }

  /** The whole answer; it may be longer than the asker can take by UDP. Synchronous where nobody else has to be asked. */
  answer(query: Query): Buffer | Promise<Buffer> {
    if (query.opcode !== 0) return this.#say(query, 'refused', { rcode: 'NOTIMP' });
    if (query.class !== internet && query.class !== any) return this.#say(query, 'refused', { rcode: 'REFUSED' });
    const { name } = query;
    const inside = name === this.#o.domain || name.endsWith(`.${this.#o.domain}`);
    const zone = this.#o.zone();
    if (zone === undefined) {
      return inside ? this.#say(query, 'cluster', { rcode: 'SERVFAIL' }) : this.#forward(query);
    }
    const lookup = inside || name.endsWith('.in-addr.arpa') ? zone.lookup(name, typeName(query.type)) : elsewhere;
    if (lookup.kind === 'elsewhere') return this.#forward(query);
    if (lookup.kind === 'missing') return this.#complete(query, zone);
    return this.#found(query, zone, lookup, []);
  }

  /** Answers with what the zone has, after `before`, the names that led there. */
  #found(
    query: Query,
    zone: Zone,
    { records, additional }: Extract<Lookup, { kind: 'found' }>,
    before: readonly DnsRecord[],
  ): Buffer | Promise<Buffer> {
    const kind = before.length === 0 ? 'cluster' : 'completed';
    const [first] = records;
    if (first?.type === 'CNAME' && query.type !== typeNumbers.CNAME) {
      return this.#follow(query, zone, kind, [...before, first]);
    }
    const answers = [...before, ...this.#inTurn(records)];
    const authorities = records.length === 0 ? [zone.soa] : [];
    return this.#say(query, kind, {
      rcode: 'NOERROR',
      authoritative: true,
      answers,
      authorities,
      additionals: additional,
    });
  }

  /** Follows the last of `links` to addresses, inside or outside. */
  #follow(query: Query, zone: Zone, kind: AnswerKind, links: readonly DnsRecord[]): Buffer | Promise<Buffer> {
    const last = links.at(-1);
    if (last?.type !== 'CNAME' || links.length > mostLinks) return this.#say(query, kind, { rcode: 'SERVFAIL' });
    const lookup = zone.lookup(last.target, typeName(query.type));
    if (lookup.kind === 'found') return this.#found(query, zone, lookup, links);
    if (lookup.kind === 'missing') {
      return this.#say(query, kind, {
        rcode: 'NXDOMAIN',
        authoritative: true,
        answers: links,
        authorities: [zone.soa],
      });
    }
    return this.#outside(query, zone, kind, links);
  }

  #complete(query: Query, zone: Zone): Buffer | Promise<Buffer> {
    const wantsAddress = query.type === typeNumbers.A || query.type === typeNumbers.AAAA;
    const meant = this.#o.completeSearch && wantsAddress ? meantBy(query.name, this.#o.domain, zone) : undefined;
    if (meant === undefined) return this.#missing(query, zone, 'cluster');
    const link: DnsRecord = { type: 'CNAME', name: query.name, ttl: zone.soa.ttl, target: meant };
    return this.#follow(query, zone, 'completed', [link]);
  }

  /** The addresses of a name outside, which the last of `links` leads to. Where there is no such name, nor is there the one that was asked for. */
  async #outside(query: Query, zone: Zone, kind: AnswerKind, links: readonly DnsRecord[]): Promise<Buffer> {
    const last = links.at(-1);
    const name = last?.type === 'CNAME' ? last.target : query.name;
    try {
      const question = writeQuestion(name, query.type);
      const stored = await this.#o.forwarder.ask({ name, type: query.type, question, edns: plainEdns });
      const rcode = rcodeOf(stored.message);
      if (rcode === rcodes.NXDOMAIN) return this.#missing(query, zone, kind);
      if (rcode !== rcodes.NOERROR) return this.#say(query, kind, { rcode: 'SERVFAIL' });
      const age = this.#age(stored);
      const records = addressRecords(stored.message).map((each) => ({ ...each, ttl: Math.max(0, each.ttl - age) }));
      const authorities = records.length === 0 ? [zone.soa] : [];
      return this.#say(query, kind, { rcode: 'NOERROR', answers: [...links, ...records], authorities });
    } catch (error) {
      return this.#failed(query, kind, error);
    }
  }

  async #forward(query: Query): Promise<Buffer> {
    try {
      const stored = await this.#o.forwarder.ask(query);
      const answer = readdress(stored.message, query, this.#age(stored), stored.ttlAts);
      this.#o.onAnswer?.('external', rcodeOf(answer));
      return answer;
    } catch (error) {
      return this.#failed(query, 'external', error);
    }
  }

  #failed(query: Query, kind: AnswerKind, error: unknown): Buffer {
    this.#o.log.debug({ name: query.name, type: query.type, error: messageOf(error) }, 'nobody could answer');
    return this.#say(query, kind, { rcode: 'SERVFAIL' });
  }

  #missing(query: Query, zone: Zone, kind: AnswerKind): Buffer {
    return this.#say(query, kind, { rcode: 'NXDOMAIN', authoritative: true, authorities: [zone.soa] });
  }

  #say(
    query: Query,
    kind: AnswerKind,
    response: { readonly rcode: Rcode } & Parameters<typeof writeResponse>[1],
  ): Buffer {
    this.#said = { kind, rcode: rcodes[response.rcode] };
    this.#o.onAnswer?.(kind, this.#said.rcode);
    return writeResponse(query, response);
  }

  /** Each answer begins with another of several: clients that take the first spread over all. */
  #inTurn(records: readonly DnsRecord[]): readonly DnsRecord[] {
    if (records.length < 2) return records;
    const first = this.#turn++ % records.length;
    return [...records.slice(first), ...records.slice(0, first)];
  }

  #age = (stored: Stored): number => Math.floor((this.#o.clock.monotonic() - stored.storedMs) / 1000);
}

const elsewhere: Lookup = { kind: 'elsewhere' };
