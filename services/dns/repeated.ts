import type { Zone } from './zone.ts';

/** Some hundred bytes each. */
const mostKept = 8_192;
/** A longer question is somebody's experiment. */
const longest = 300;
const headerCounts = 6;

/** An answer, and what is counted with it. */
export interface Repeatable<Told> {
  readonly answer: Buffer;
  readonly told: Told;
}

/**
 * Answers by datagram that were given before, for the same question to the letter (flags, spelling and options) from the same zone: only the id
 * differs. Finding one costs a tenth of making it. A new zone forgets all; so does a cache that is full, as of questions made up at random.
 */
export class Repeated<Told> {
  readonly #kept = new Map<string, Repeatable<Told>>();
  #zone: Zone | undefined;

  get size(): number {
    return this.#kept.size;
  }

  /** The answer with this question's id, and what was told of it. */
  find(message: Buffer, zone: Zone | undefined): Repeatable<Told> | undefined {
    if (zone !== this.#zone || message.length > longest) return undefined;
    const known = this.#kept.get(message.toString('latin1', 2));
    if (known === undefined) return undefined;
    const answer = Buffer.from(known.answer);
    message.copy(answer, 0, 0, 2);
    return { answer, told: known.told };
  }

  /** Of several records each answer begins with another: such a one is made anew each time. */
  keep(message: Buffer, zone: Zone | undefined, { answer, told }: Repeatable<Told>): void {
    if (zone !== this.#zone || this.#kept.size >= mostKept) this.#kept.clear();
    this.#zone = zone;
    if (zone === undefined || message.length > longest || answer.readUInt16BE(headerCounts) > 1) return;
    const own = Buffer.allocUnsafeSlow(answer.length); // not a piece of a larger one, which would be kept with it
    answer.copy(own);
    this.#kept.set(message.toString('latin1', 2), { answer: own, told });
  }
}
