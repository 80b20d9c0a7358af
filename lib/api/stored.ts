import type { ApiObject } from './objects.ts';

/**
 * The stored form of an object: its JSON beginning `{"apiVersion":…,"kind":…,"metadata":{` and *without*
 * `metadata.resourceVersion`, which is the revision under which the store keeps it. Serving splices the
 * revision in, so that a read never parses: see `withRevision`.
 */
export function toStored(object: ApiObject): Buffer {
  const { apiVersion, kind, metadata, ...rest } = object;
  const { resourceVersion: _, ...meta } = metadata;
  return Buffer.from(JSON.stringify({ apiVersion, kind, metadata: meta, ...rest }));
}

const marker = Buffer.from('"metadata":{');

/** The JSON to serve: the stored bytes with `metadata.resourceVersion` put in, without parsing them. */
export function withRevision(stored: Uint8Array, revision: number): Buffer {
  const source = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
  const at = source.indexOf(marker) + marker.length; // apiVersion and kind never hold this text: they are names
  const text = `"resourceVersion":"${revision}",`;
  const out = Buffer.allocUnsafe(source.length + text.length);
  source.copy(out, 0, 0, at);
  out.write(text, at, 'latin1');
  source.copy(out, at + text.length, at);
  return out;
}

/** The object itself, parsed, with its revision. */
export function fromStored<T extends ApiObject>(stored: Uint8Array, revision: number): T {
  const object = JSON.parse(Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength).toString('utf8')) as T;
  (object.metadata as { resourceVersion: string }).resourceVersion = String(revision);
  return object;
}
