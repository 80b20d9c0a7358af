import type { HeldImage } from '../runtime/runtime.ts';
import { parseReference } from '../../lib/api/image-reference.ts';

/** What the agent remembers of an image that it pulled. */
export interface ImageRecord {
  readonly id: string;
  /** Under which names it pulled it, as engines list them. */
  readonly names: readonly string[];
  /** When it was pulled or last seen in use, ms since 1970. */
  readonly usedAtMs: number;
}

/**
 * The images that may go, the longest unused first. Only what this agent pulled, under no name that is not its own, that no
 * container has (running or not, ours or not), and that has not been used for a while: what is pulled for a pod
 * must be there when the pod's container is made.
 */
export function removable(
  held: readonly HeldImage[],
  records: ReadonlyMap<string, ImageRecord>,
  { nowMs, minAgeMs }: { readonly nowMs: number; readonly minAgeMs: number },
): readonly HeldImage[] {
  const usedAt = (image: HeldImage): number => records.get(image.id)?.usedAtMs ?? Infinity;
  return held
    .filter((image) => {
      const record = records.get(image.id);
      return record !== undefined && !image.inUse && isOnlyOurs(image, record) && record.usedAtMs + minAgeMs <= nowMs;
    })
    .toSorted((a, b) => usedAt(a) - usedAt(b) || (a.id < b.id ? -1 : 1));
}

/** Somebody's own tag on it makes it theirs too. A digest comes with every pull, of the same repository. */
function isOnlyOurs(image: HeldImage, record: ImageRecord): boolean {
  const repository = (name: string): string => {
    const { host, path } = parseReference(name);
    return `${host}/${path}`;
  };
  const repositories = new Set(record.names.map(repository));
  return image.names.every((name) =>
    name.includes('@') ? repositories.has(repository(name)) || record.names.length === 0 : record.names.includes(name),
  );
}

/** The records after a pull: a tag that moved is no longer a name of the image that had it. `wasThere`: what the name meant before. */
export function recorded(
  records: ReadonlyMap<string, ImageRecord>,
  pulled: { readonly name: string; readonly id: string; readonly wasThere: string | undefined; readonly nowMs: number },
): ReadonlyMap<string, ImageRecord> {
  const { name, id, wasThere, nowMs } = pulled;
  const known = records.get(id);
  if (known === undefined && wasThere === id) return records; // somebody else had brought it
  const next = new Map(
    [...records].map(([key, record]) => [key, { ...record, names: record.names.filter((other) => other !== name) }]),
  );
  next.set(id, { id, names: [...(next.get(id)?.names ?? []), name], usedAtMs: nowMs });
  return next;
}

/** The records as the engine's list makes them: used now what is in use, forgotten what is gone. */
export function refreshed(
  records: ReadonlyMap<string, ImageRecord>,
  held: readonly HeldImage[],
  nowMs: number,
): ReadonlyMap<string, ImageRecord> {
  return new Map(
    held.flatMap((image) => {
      const record = records.get(image.id);
      return record === undefined ? [] : [[image.id, image.inUse ? { ...record, usedAtMs: nowMs } : record]];
    }),
  );
}
