import type { BusMessage } from './bus.ts';
import type { BusChange, ChangeType } from './change.ts';
import { bundleSubject } from './subjects.ts';

/**
 * Changes of one resource that were published at one moment, as one message, for views of everything: what a message costs every subscriber is
 * paid once for all of them. The messages of `change.ts`, one a change, are for integrators and for those who want one node's pods.
 *
 * The body: four bytes with the length of the index, the index as JSON, and the objects' JSON one after the other.
 */
interface Index {
  readonly epoch: string;
  /** The revision of the change of this resource before the first of these; of the others it is the one before in the bundle. */
  readonly previous: number;
  /** When the first was committed, in milliseconds since 1970. */
  readonly timeMs: number;
  /** Type, revision, key and length in bytes; `omitted` stands for an object that no message could hold. */
  readonly changes: readonly (readonly [ChangeType, number, string, number | typeof omitted])[];
}
const omitted = 'omitted';

/** A change as a bundle tells of it. */
export interface BundledChange {
  readonly type: ChangeType;
  readonly key: string;
  readonly revision: number;
  /** The revision of the change of this resource before this one. */
  readonly previous: number;
  /** The object; undefined where no message could hold it. */
  readonly json: Uint8Array | undefined;
}

export interface Bundle {
  readonly epoch: string;
  readonly timeMs: number;
  readonly changes: readonly BundledChange[];
}

/** More bytes go into the next one. */
const mostBytes = 256 << 10;

/** The bundles of changes that are given in their order, a resource after the other. */
export function bundlesOf(cluster: string, changes: readonly BusChange[]): readonly BusMessage[] {
  const byResource = new Map<string, BusChange[]>();
  for (const change of changes) {
    const same = byResource.get(change.resource);
    if (same === undefined) byResource.set(change.resource, [change]);
    else same.push(change);
  }
  return [...byResource].flatMap(([resource, all]) => {
    const subject = bundleSubject(cluster, resource);
    return portions(all).map((portion) => ({ subject, headers: {}, data: encode(portion) }));
  });
}

function portions(changes: readonly BusChange[]): readonly (readonly BusChange[])[] {
  const all: BusChange[][] = [];
  let bytes = Infinity;
  for (const change of changes) {
    bytes += sizeOf(change);
    const last = all.at(-1);
    if (last !== undefined && bytes <= mostBytes) {
      last.push(change);
      continue;
    }
    all.push([change]);
    bytes = sizeOf(change);
  }
  return all;
}

const sizeOf = ({ json, omitted: isOmitted }: BusChange): number => (isOmitted === true ? 0 : json.length);

function encode(changes: readonly BusChange[]): Buffer {
  const [first] = changes;
  const index: Index = {
    epoch: first?.epoch ?? '',
    previous: first?.resourcePrevious ?? 0,
    timeMs: first?.timeMs ?? 0,
    changes: changes.map(({ type, revision, namespace, name, json, omitted: isOmitted }) => [
      type,
      revision,
      namespace === undefined ? name : `${namespace}/${name}`,
      isOmitted === true ? omitted : json.length,
    ]),
  };
  const text = Buffer.from(JSON.stringify(index));
  const head = Buffer.allocUnsafe(4);
  head.writeUInt32BE(text.length);
  return Buffer.concat([head, text, ...changes.flatMap(({ json, omitted: not }) => (not === true ? [] : json))]);
}

/** Throws where the body is none. */
export function readBundle({ data }: BusMessage): Bundle {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  let at = 4 + bytes.readUInt32BE();
  const { epoch, timeMs, previous, changes } = JSON.parse(bytes.toString('utf8', 4, at)) as Index;
  let before = previous;
  return {
    ...{ epoch, timeMs },
    changes: changes.map(([type, revision, key, length]) => {
      const json = length === omitted ? undefined : bytes.subarray(at, (at += length));
      const change = { type, key, revision, previous: before, json };
      before = revision;
      return change;
    }),
  };
}
