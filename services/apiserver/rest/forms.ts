import { customColumns, customRow } from '../../../lib/api/custom/printing.ts';
import { apiVersionOf } from '../../../lib/api/kinds.ts';
import type { ApiObject, Scale } from '../../../lib/api/objects.ts';
import { ageOfTime, columnsOf, rowOf, type Column } from '../../../lib/api/printing/index.ts';
import { parseObject } from '../cache/indexed.ts';
import type { Kind } from '../registry/kinds.ts';
import type { Served, Subresource } from '../registry/registry.ts';
import { translationFor } from './translation.ts';
import type { Form } from './accept.ts';

export interface ListMeta {
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

/** How the objects of a resource are written for a caller. Everything is JSON text in UTF-8. */
export interface Writing {
  /** The same for callers whose bytes are the same. */
  readonly id: string;
  /** An object alone. */
  one(served: Served): Buffer;
  /** What stands before, and after, the members of a list. */
  head(metadata: ListMeta): string;
  readonly tail: string;
  member(served: Served): Buffer | string;
  /** An object in a watch event. */
  event(served: Served): Buffer | string;
  /** What stands in a bookmark, which is of the same type as the objects of the events. */
  mark(metadata: object): string;
}

export interface TableWish {
  /** What stands beside the cells: metadata, the whole object, or nothing. */
  readonly includeObject: 'Metadata' | 'Object' | 'None';
  readonly nowMs: () => number;
}

/** `subresource`: of the Scale of an object of this kind, rather than of the object. */
export function writingFor(form: Form, kind: Kind, wish: TableWish, subresource?: Subresource): Writing {
  switch (form.as) {
    case 'object':
      return subresource === 'scale' ? asIs(scaleType) : objectsOf(kind);
    case 'PartialObjectMetadata':
      return asMetadata(form.version);
    case 'Table':
      return asTable(kind, form.version, wish, subresource === 'scale' ? scalePrinter : printerOf(kind));
  }
}

interface Printer {
  /** The same for kinds whose rows are the same. */
  readonly id: string;
  readonly columns: readonly Column[];
  row(object: ApiObject, nowMs: number): readonly string[];
}

const printerOf = (kind: Kind): Printer => ({
  id: `${kind.group}/${kind.version}`,
  columns: columnsFor(kind),
  row: (object, nowMs) => rowFor(kind, object, nowMs),
});

const scaleType = { kind: 'Scale', apiVersion: 'autoscaling/v1' } as const;
const scalePrinter: Printer = {
  id: 'scale',
  columns: ['Name', 'Desired', 'Available', 'Age'].map((name) => ({ name, priority: 0 })),
  row(object, nowMs) {
    const { metadata, spec, status } = object as Scale;
    const age = ageOfTime(metadata.creationTimestamp, nowMs);
    return [metadata.name, String(spec.replicas ?? 0), String(status.replicas), age];
  },
};

/** The form that nearly everybody asks for, made once a kind. */
const plain = new WeakMap<Kind, Writing>();

function objectsOf(kind: Kind): Writing {
  let writing = plain.get(kind);
  if (writing === undefined) plain.set(kind, (writing = asObjects(kind)));
  return writing;
}

/** Bytes as they are stored: nothing is parsed. */
function asObjects(kind: Kind): Writing {
  const type = { kind: kind.at === undefined ? `${kind.kind}List` : kind.listKind, apiVersion: apiVersionOf(kind) };
  const translation = translationFor(kind);
  const single = { kind: kind.kind, apiVersion: type.apiVersion };
  return translation === undefined
    ? asIs(single, type)
    : { ...asIs(single, type, (json) => translation.out(json)), id: `object ${translation.id}` };
}

/** As the bytes are, or as `out` has them. */
function asIs(
  single: { readonly kind: string; readonly apiVersion: string },
  type: object = single,
  out: (json: Buffer) => Buffer = (json) => json,
): Writing {
  const own = ({ json }: Served): Buffer => out(json);
  return {
    id: 'object',
    one: own,
    head: (metadata) => headOf(type, metadata, 'items'),
    tail: ']}',
    member: own,
    event: own,
    mark: (metadata) => JSON.stringify({ ...single, metadata }),
  };
}

function asMetadata(version: string): Writing {
  const apiVersion = `meta.k8s.io/${version}`;
  const member = (served: Served): string => JSON.stringify(partial(served, apiVersion));
  return {
    id: `metadata ${version}`,
    one: (served) => Buffer.from(member(served)),
    head: (metadata) => headOf({ kind: 'PartialObjectMetadataList', apiVersion }, metadata, 'items'),
    tail: ']}',
    member,
    event: member,
    mark: (metadata) => JSON.stringify({ kind: 'PartialObjectMetadata', apiVersion, metadata }),
  };
}

const partial = (served: Served, apiVersion: string): object => ({
  kind: 'PartialObjectMetadata',
  apiVersion,
  metadata: parseObject(served.json).metadata,
});

const columnsFor = (kind: Kind): readonly Column[] =>
  kind.at === undefined ? columnsOf(kind.resource) : customColumns(kind.at);
const rowFor = (kind: Kind, object: ApiObject, nowMs: number): readonly string[] =>
  kind.at === undefined ? rowOf(kind.resource, object as never, nowMs) : customRow(kind.at, object, nowMs);

function asTable(kind: Kind, version: string, { includeObject, nowMs }: TableWish, printer: Printer): Writing {
  const translation = translationFor(kind);
  const type = { kind: 'Table', apiVersion: `meta.k8s.io/${version}` };
  const columnDefinitions = printer.columns.map(({ name, priority }) => ({
    name,
    type: 'string',
    format: name === 'Name' ? 'name' : '',
    description: name,
    priority,
  }));
  const member = (served: Served): string => {
    const object = parseObject(served.json);
    const cells = printer.row(object, nowMs());
    return JSON.stringify({ cells, ...beside(served, object) });
  };
  const beside = (served: Served, object: object): object => {
    if (includeObject === 'None') return {};
    if (includeObject === 'Metadata') return { object: partial(served, type.apiVersion) };
    return { object: translation === undefined ? object : parseObject(translation.out(served.json)) };
  };
  const table = (served: Served, metadata: object): string =>
    `${headOf(type, metadata, 'rows', { columnDefinitions })}${member(served)}]}`;
  return {
    id: `table ${version} ${includeObject} ${printer.id}`,
    one: (served) => Buffer.from(table(served, { resourceVersion: String(served.revision) })),
    head: (metadata) => headOf(type, metadata, 'rows', { columnDefinitions }),
    tail: ']}',
    member,
    event: (served) => table(served, { resourceVersion: String(served.revision) }),
    mark: (metadata) => `${headOf(type, metadata, 'rows', { columnDefinitions })}]}`,
  };
}

function headOf(type: object, metadata: object, members: string, more: object = {}): string {
  return `${JSON.stringify({ ...type, metadata, ...more }).slice(0, -1)},"${members}":[`;
}
