import { toStatusObject } from '../../../lib/api/codec/status.ts';
import { selecting } from '../cache/selecting.ts';
import type { Kind } from '../registry/kinds.ts';
import { selectableIn } from '../registry/selectable.ts';
import type { Clock } from '../../../lib/base/clock.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import type { FanOut } from '../door/fan-out.ts';
import { revisionOf } from '../door/requests.ts';
import type { Registry, Selection, WatchBatch } from '../registry/registry.ts';
import type { Writing } from './forms.ts';
import { eventsOf } from './list.ts';
import { jsonType, type RestReply, type RestRequest } from './message.ts';
import { flag, wholeNumber } from './query.ts';

export interface WatchParts {
  readonly registry: Registry;
  readonly fanOut: FanOut;
  readonly clock: Clock;
  /** A random number from 0 up to 1. */
  readonly random: () => number;
}

/** What is watched, and how it is written. */
export interface Watched {
  readonly kind: Kind;
  readonly selection: Selection;
  readonly writing: Writing;
}

/** A watch without a time-out of its own ends after this, or up to twice as long, so that readers spread over the servers. */
const defaultWatchMs = 30 * 60_000;

/**
 * Changes as they come, one JSON text a line (Kubernetes API concepts, "Efficient detection of changes"): from a revision on, or first
 * what is there. Later failures, such as a history that is too short, are told as an event of type ERROR, which ends the watch.
 */
export async function watch(parts: WatchParts, watched: Watched, request: RestRequest): Promise<RestReply> {
  const { query } = request;
  const wish = {
    ...startIn(query),
    bookmarks: flag(query, 'allowWatchBookmarks'),
    timeoutMs: timeoutIn(query) ?? defaultWatchMs * (1 + parts.random()),
  };
  // What is wrong about the selection is answered, not told as an event.
  selecting(watched.kind.resource, watched.selection, selectableIn(watched.kind));
  return { status: 200, type: jsonType, live: true, body: lines(parts, watched, { ...wish, signal: request.signal }) };
}

interface Wish {
  /** Absent: what is there comes first. */
  readonly from?: number;
  /** The end of what was there is told. */
  readonly markEnd: boolean;
  readonly bookmarks: boolean;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

function startIn(query: URLSearchParams): Pick<Wish, 'from' | 'markEnd'> {
  const version = query.get('resourceVersion') ?? '';
  const match = query.get('resourceVersionMatch') ?? '';
  if (!query.has('sendInitialEvents')) {
    if (match !== '')
      throw new ApiError('BadRequest', 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is given');
    return {
      markEnd: false,
      ...(version === '' || version === '0' ? {} : { from: revisionOf(version, 'resourceVersion') }),
    };
  }
  if (match !== 'NotOlderThan')
    throw new ApiError('BadRequest', 'sendInitialEvents requires resourceVersionMatch=NotOlderThan');
  if (flag(query, 'sendInitialEvents')) return { markEnd: true };
  return {
    markEnd: false,
    ...(version === '' || version === '0' ? {} : { from: revisionOf(version, 'resourceVersion') }),
  };
}

function timeoutIn(query: URLSearchParams): number | undefined {
  const seconds = wholeNumber(query, 'timeoutSeconds');
  return seconds === undefined || seconds === 0 ? undefined : seconds * 1000;
}

async function* lines(parts: WatchParts, watched: Watched, wish: Wish): AsyncGenerator<Buffer> {
  const ending = new AbortController();
  const cancel = parts.clock.after(wish.timeoutMs, () => {
    ending.abort();
  });
  const signal = AbortSignal.any([wish.signal, ending.signal]);
  try {
    yield* follow(parts, watched, wish, signal);
  } catch (error) {
    if (!signal.aborted) yield line('ERROR', JSON.stringify(toStatusObject(error)));
  } finally {
    cancel();
  }
}

async function* follow(parts: WatchParts, watched: Watched, wish: Wish, signal: AbortSignal): AsyncGenerator<Buffer> {
  const { registry, fanOut } = parts;
  const { kind, selection, writing } = watched;
  const { resource } = kind;
  let { from } = wish;
  if (from === undefined) {
    const list = await registry.list(resource, selection);
    from = list.revision;
    yield* eventsOf(list.items, writing, around('ADDED'));
    if (wish.markEnd && wish.bookmarks) yield bookmark(writing, from, { 'k8s.io/initial-events-end': 'true' });
  }
  const topic = {
    resource,
    selection,
    form: `rest ${writing.id} ${String(wish.bookmarks)}`,
    encode: (batch: WatchBatch) => encodeBatch(watched, batch, wish.bookmarks),
  };
  for await (const bytes of fanOut.read(topic, from, signal)) if (bytes.length > 0) yield bytes;
}

function encodeBatch({ writing }: Watched, { revision, changes }: WatchBatch, bookmarks: boolean): Buffer {
  if (changes.length === 0) return bookmarks ? bookmark(writing, revision) : Buffer.alloc(0);
  return Buffer.concat(changes.map(({ type, served }) => line(type, writing.event(served))));
}

/** Nothing up to this revision is missing: a watch may begin there again. */
function bookmark(writing: Writing, revision: number, annotations?: Readonly<Record<string, string>>): Buffer {
  const metadata = { resourceVersion: String(revision), ...(annotations === undefined ? {} : { annotations }) };
  return line('BOOKMARK', writing.mark(metadata));
}

/** What stands around an object in a line of its own. */
const around = (type: string): readonly [string, string] => [`{"type":"${type}","object":`, '}\n'];

function line(type: string, object: Buffer | string): Buffer {
  const bytes = typeof object === 'string' ? Buffer.from(object) : object;
  const [before, after] = around(type);
  return Buffer.concat([Buffer.from(before), bytes, Buffer.from(after)]);
}
