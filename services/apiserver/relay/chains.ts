import { epochStart, type BusChange } from '../../../lib/bus/change.ts';
import { channelOf, token } from '../../../lib/bus/subjects.ts';
import type { Publication } from './publication.ts';

/** The revision of the last message on a subject pattern below `<cluster>.v1.`, in the present epoch; undefined when there is none. */
export type LastOn = (pattern: string) => Promise<number | undefined>;

/** Channels remembered; a forgotten one is looked up in the stream when it is needed. */
const maxChannels = 50_000;

/**
 * The end of every chain: the last revision published on each channel and on each resource. What it does not know it looks up
 * in the stream, and what is not there begins where the epoch began.
 */
export class Chains {
  readonly epoch: string;
  /** Undefined while every channel of the epoch is in memory: then what is not known has not been published. */
  #lastOn: LastOn | undefined;
  readonly #lookUp: LastOn;
  readonly #ends = new Map<string, number>();
  readonly #resources = new Map<string, number>();

  /** `isNew`: the epoch begins now, so that nothing of it is in the stream. */
  constructor(epoch: string, lastOn: LastOn, isNew = false) {
    this.epoch = epoch;
    this.#lookUp = lastOn;
    this.#lastOn = isNew ? undefined : lastOn;
  }

  /** Learns the ends that `publications` will need. */
  async prepare(publications: readonly Publication[]): Promise<void> {
    const channels = new Set<string>();
    const resources = new Set<string>();
    for (const { resource, node } of publications) {
      const channel = channelOf(resource, node);
      if (!this.#ends.has(channel)) channels.add(channel);
      if (!this.#resources.has(resource)) resources.add(resource);
    }
    if (channels.size === 0 && resources.size === 0) return;
    const start = epochStart(this.epoch);
    await Promise.all([
      ...[...channels].map(async (channel) => this.#ends.set(channel, (await this.#lastOn?.(`${channel}.>`)) ?? start)),
      ...[...resources].map(async (resource) =>
        this.#resources.set(resource, (await this.#lastOn?.(`${token(resource)}.>`)) ?? start),
      ),
    ]);
  }

  /** Learns the end of a resource's chain where the stream has one, so that `positions` can tell. */
  async learn(resource: string): Promise<void> {
    const last = await this.#lookUp(`${token(resource)}.>`);
    if (last !== undefined) this.#resources.set(resource, last);
  }

  /** Adds one to its chains. Call `prepare` with it before. */
  link(publication: Publication): BusChange {
    const { resource, node, revision } = publication;
    const channel = channelOf(resource, node);
    const previous = this.#ends.get(channel) ?? 0;
    const resourcePrevious = this.#resources.get(resource) ?? 0;
    // Set anew, so that the map is in order of use; while it is far from full the order does not matter, and costs more than the rest.
    if (this.#ends.size > maxChannels / 2) this.#ends.delete(channel);
    this.#ends.set(channel, revision);
    this.#resources.set(resource, revision);
    if (this.#ends.size > maxChannels) {
      this.#lastOn = this.#lookUp;
      for (const oldest of this.#ends.keys()) {
        this.#ends.delete(oldest);
        break;
      }
    }
    return { ...publication, previous, resourcePrevious, epoch: this.epoch };
  }

  /** The last revision of each resource. */
  positions(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#resources);
  }
}
