import { splitKey } from '../../../lib/api/keys.ts';
import { withRevision } from '../../../lib/api/stored.ts';
import { parseTraceparent, traceAnnotation } from '../../../lib/base/trace.ts';
import type { BusChange } from '../../../lib/bus/change.ts';
import { isPublished } from '../../../lib/bus/subjects.ts';
import type { StoreChange } from '../store/store.ts';

/** What of a change does not depend on what was published before it. */
export type Publication = Omit<BusChange, 'previous' | 'resourcePrevious' | 'epoch'>;

/** The change as the bus carries it; undefined for what is not published: claims, and resources that the bus leaves out. */
export function publicationOf(change: StoreChange): Publication | undefined {
  const slash = change.key.indexOf('/');
  const resource = change.key.slice(0, slash);
  const body = change.value ?? change.previous;
  if (resource === 'claims' || !isPublished(resource) || body === undefined) return undefined;
  const { namespace, name } = splitKey(change.key.slice(slash + 1));
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const node = resource === 'pods' ? nodeOf(bytes) : undefined;
  return {
    resource,
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(node === undefined ? {} : { node }),
    type: change.value === undefined ? 'deleted' : change.previous === undefined ? 'added' : 'modified',
    revision: change.revision,
    timeMs: change.timeMs,
    json: withRevision(body, change.revision),
    traceparent: traceOf(bytes),
  };
}

const nodeMarker = Buffer.from('"nodeName":"');
const specMarker = Buffer.from('"spec":{');
const selectorMarker = Buffer.from('"nodeSelector":{');

/**
 * `spec.nodeName` without parsing where that is safe. A quote inside a JSON string is escaped, so the marker is always a key:
 * of the spec when it stands there once and no map of free keys (labels, node selector) can hold it.
 */
export function nodeOf(pod: Buffer): string | undefined {
  const at = pod.indexOf(nodeMarker);
  if (at < 0) return undefined;
  const isSure = at > pod.indexOf(specMarker) && pod.indexOf(nodeMarker, at + 1) < 0 && !pod.includes(selectorMarker);
  if (!isSure) return (JSON.parse(pod.toString()) as { spec?: { nodeName?: string } }).spec?.nodeName;
  const start = at + nodeMarker.length;
  return pod.toString('utf8', start, pod.indexOf('"', start)) || undefined;
}

const traceMarker = Buffer.from(`"${traceAnnotation}":"`);
const traceLength = 55;

function traceOf(object: Buffer): string | undefined {
  const at = object.indexOf(traceMarker);
  if (at < 0) return undefined;
  const text = object.toString('latin1', at + traceMarker.length, at + traceMarker.length + traceLength);
  return parseTraceparent(text) === undefined ? undefined : text;
}
