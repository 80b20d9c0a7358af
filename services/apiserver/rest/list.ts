import { Slices } from '../cache/slices.ts';
import type { Served, ServedList } from '../registry/registry.ts';
import type { ListMeta, Writing } from './forms.ts';

/** Bytes that are handed over together: enough to cost little, few enough to wait for a slow reader early. */
const portionBytes = 256 * 1024;
/** Looked at before a list is written: a short one is an answer like others. */
const shortItems = 64;

const comma = Buffer.from(',');
const bytesOf = (text: Buffer | string): Buffer => (typeof text === 'string' ? Buffer.from(text) : text);

/** A list, portion by portion: the largest one neither blocks the process nor is held twice. A short one is whole. */
export function listed(list: ServedList, writing: Writing): Buffer | AsyncIterable<Buffer> {
  const head = Buffer.from(writing.head(metaOf(list)));
  if (list.items.length > shortItems) return portions(members(list, writing, head));
  return Buffer.concat([...members(list, writing, head)]);
}

function* members({ items }: ServedList, writing: Writing, head: Buffer): Generator<Buffer> {
  yield head;
  let isFirst = true;
  for (const item of items) {
    if (!isFirst) yield comma;
    isFirst = false;
    yield bytesOf(writing.member(item));
  }
  yield Buffer.from(writing.tail);
}

/** Each of the objects of a list as an event of a watch, with what stands before and after it there. */
export function eventsOf(
  items: readonly Served[],
  writing: Writing,
  [before, after]: readonly [before: string, after: string],
): AsyncGenerator<Buffer> {
  return portions(events(items, writing, [Buffer.from(before), Buffer.from(after)]));
}

function* events(
  items: readonly Served[],
  writing: Writing,
  [before, after]: readonly [before: Buffer, after: Buffer],
): Generator<Buffer> {
  for (const item of items) {
    yield before;
    yield bytesOf(writing.event(item));
    yield after;
  }
}

/** Pieces put together; others get their turn in between. */
async function* portions(pieces: Iterable<Buffer>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let bytes = 0;
  const slices = new Slices();
  for (const piece of pieces) {
    parts.push(piece);
    bytes += piece.length;
    if (bytes < portionBytes && !slices.isOver(16)) continue;
    yield Buffer.concat(parts, bytes);
    parts = [];
    bytes = 0;
    await slices.next();
  }
  if (bytes > 0) yield Buffer.concat(parts, bytes);
}

export const metaOf = (list: ServedList): ListMeta => ({
  resourceVersion: String(list.revision),
  ...(list.continue === undefined ? {} : { continue: list.continue }),
  ...(list.remaining === undefined || list.remaining === 0 ? {} : { remainingItemCount: list.remaining }),
});
