import { LRUCache } from 'lru-cache';
import { messageOf } from '../../lib/base/errors.ts';
import type { Clock } from '../../lib/base/clock.ts';
import type { Log } from '../../lib/base/log.ts';
import { exchange } from './exchange.ts';
import { formatUpstream, type Upstream } from './upstreams.ts';
import { rcodes, typeNumbers } from './records.ts';
import { plainEdns, rcodeOf, recordsOf, type Query } from './wire.ts';
import { withoutOpt } from './wire-write.ts';

/** Somebody else's answer as it came, but for its OPT record, and since when we have it. */
export interface Stored {
  readonly message: Buffer;
  readonly storedMs: number;
  readonly freshMs: number;
  /** Where in the message a time to live stands. */
  readonly ttlAts: readonly number[];
}

export interface ForwarderOptions {
  /** The servers for a name, in the order in which to ask them. */
  readonly upstreams: (name: string) => readonly Upstream[];
  readonly clock: Clock;
  readonly log: Log;
  /** Told of each question that left: `answered`, `failed`, and of the cache: `hit`. */
  readonly onOutcome?: (outcome: 'hit' | 'answered' | 'failed') => void;
  readonly tryMs?: number;
  readonly deadlineMs?: number;
}

/** What is asked for, without an asker. */
export interface Outgoing {
  readonly name: string;
  readonly type: number;
  readonly question: Buffer;
  readonly edns: Query['edns'];
}

const mostStored = 10_000;
const mostStoredBytes = 32 << 20;
const mostUnderWay = 1_000;
/** An answer is kept no longer, whatever it says; that there is none, much shorter. */
const longestMs = 3_600_000;
const longestNegativeMs = 30_000;
/** A server that failed is asked last for so long. */
const shunMs = 10_000;

/**
 * Asks other servers, in their order, the ones that failed lately last; each gets `tryMs`, all together `deadlineMs`. Answers are kept as long
 * as they allow; the same question asked by many at once leaves once.
 */
export class Forwarder {
  readonly #o: ForwarderOptions;
  readonly #tryMs: number;
  readonly #deadlineMs: number;
  readonly #stored = new LRUCache<string, Stored>({
    max: mostStored,
    maxSize: mostStoredBytes,
    sizeCalculation: ({ message }) => message.length + 200,
  });
  readonly #underWay = new Map<string, Promise<Stored>>();
  readonly #failedAtMs = new Map<string, number>();

  constructor(options: ForwarderOptions) {
    this.#o = options;
    this.#tryMs = options.tryMs ?? 1_500;
    this.#deadlineMs = options.deadlineMs ?? 4_500;
  }

  get size(): number {
    return this.#stored.size;
  }

  /** Rejects when no server answers, when there is none, and when too many questions are under way. */
  async ask(outgoing: Outgoing): Promise<Stored> {
    const key = `${outgoing.name} ${outgoing.type} ${outgoing.edns?.dnssecOk === true ? 'dnssec' : ''}`;
    const known = this.#stored.get(key);
    if (known !== undefined && this.#o.clock.monotonic() - known.storedMs < known.freshMs) {
      this.#o.onOutcome?.('hit');
      return known;
    }
    const same = this.#underWay.get(key);
    if (same !== undefined) return same;
    if (this.#underWay.size >= mostUnderWay)
      throw new Error(`${mostUnderWay} questions wait for other servers already`);
    const asking = this.#askAll(outgoing)
      .then((message) => this.#keep(key, message))
      .finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, asking);
    return asking;
  }

  async #askAll({ name, question, edns = plainEdns }: Outgoing): Promise<Buffer> {
    const { clock, onOutcome } = this.#o;
    const endMs = clock.monotonic() + this.#deadlineMs;
    const failures: string[] = [];
    let unhappy: Buffer | undefined;
    const servers = this.#inOrder(name);
    if (servers.length === 0)
      throw new Error('no other server to ask: /etc/resolv.conf names none, and --upstream none');
    const old = new Set<Upstream>();
    // Twice round: a lost datagram is no reason to give up on the only server.
    for (const upstream of [...servers, ...servers]) {
      const leftMs = Math.min(this.#tryMs, endMs - clock.monotonic());
      if (leftMs <= 0) break;
      try {
        const answer = await exchange(upstream, question, old.has(upstream) ? undefined : edns, leftMs);
        const rcode = rcodeOf(answer);
        if ((rcode === rcodes.FORMERR || rcode === rcodes.NOTIMP) && !old.has(upstream)) {
          old.add(upstream); // it may know nothing of EDNS: the second round asks without
          failures.push(`${formatUpstream(upstream)}: rcode ${rcode}`);
          continue;
        }
        if (rcode === rcodes.NOERROR || rcode === rcodes.NXDOMAIN) {
          this.#failedAtMs.delete(formatUpstream(upstream));
          onOutcome?.('answered');
          return answer;
        }
        unhappy ??= answer;
        failures.push(`${formatUpstream(upstream)}: rcode ${rcode}`);
        if (failures.length >= servers.length + old.size) break; // they have answered; asking again changes nothing
      } catch (error) {
        failures.push(`${formatUpstream(upstream)}: ${messageOf(error)}`);
      }
      this.#failedAtMs.set(formatUpstream(upstream), clock.monotonic());
    }
    onOutcome?.('failed');
    if (unhappy !== undefined) return unhappy;
    throw new Error(failures.join('; '));
  }

  #inOrder(name: string): readonly Upstream[] {
    const now = this.#o.clock.monotonic();
    const shunned = (upstream: Upstream): number =>
      now - (this.#failedAtMs.get(formatUpstream(upstream)) ?? -Infinity) < shunMs ? 1 : 0;
    return this.#o.upstreams(name).toSorted((a, b) => shunned(a) - shunned(b));
  }

  #keep(key: string, answer: Buffer): Stored {
    const message = withoutOpt(answer);
    const { freshMs, ttlAts } = freshness(message);
    const stored = { message, storedMs: this.#o.clock.monotonic(), freshMs, ttlAts };
    if (freshMs > 0) this.#stored.set(key, stored);
    return stored;
  }
}

/** How long an answer may be kept (RFC 2308 for what does not exist), and where its times to live stand. */
function freshness(message: Buffer): { readonly freshMs: number; readonly ttlAts: readonly number[] } {
  const ttlAts: number[] = [];
  let shortest = Infinity;
  let negative = 0;
  let answers = 0;
  try {
    for (const { section, type, ttl, ttlAt, dataAt, dataLength } of recordsOf(message)) {
      if (type === typeNumbers.OPT) continue;
      ttlAts.push(ttlAt);
      if (section === 'answer') answers++;
      shortest = Math.min(shortest, ttl);
      if (section === 'authority' && type === typeNumbers.SOA) {
        negative = Math.min(ttl, message.readUInt32BE(dataAt + dataLength - 4));
      }
    }
  } catch {
    return { freshMs: 0, ttlAts: [] };
  }
  const rcode = rcodeOf(message);
  if (rcode === rcodes.NOERROR && answers > 0) return { freshMs: Math.min(shortest * 1000, longestMs), ttlAts };
  if (rcode === rcodes.NOERROR || rcode === rcodes.NXDOMAIN) {
    return { freshMs: Math.min(negative * 1000, longestNegativeMs), ttlAts };
  }
  return { freshMs: 0, ttlAts };
}
