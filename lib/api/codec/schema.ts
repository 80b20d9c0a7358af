import { schema } from '../gen/schema.ts';
import { kinds, resources } from '../kinds.ts';

export interface FieldSchema {
  readonly name: string;
  readonly number: number;
  readonly shape: 'one' | 'list' | 'map' | 'inline';
  /** A scalar (`string`, `bool`, `int32`, `int64`, `bytes`, `base64`) or the name of a message. */
  readonly type: string;
  /** Reads as its zero value when it is not on the wire. */
  readonly implicit: boolean;
}

const parsed = new Map<string, readonly FieldSchema[]>();

/** The fields of a message in the order of their numbers; undefined when there is no such message. */
export function fieldsOf(message: string): readonly FieldSchema[] | undefined {
  const known = parsed.get(message);
  if (known !== undefined) return known;
  const line = Object.hasOwn(schema, message) ? schema[message] : undefined;
  if (line === undefined) return undefined;
  const fields = line
    .split('; ')
    .filter((text) => text !== '')
    .map(parseField)
    .toSorted((a, b) => a.number - b.number);
  parsed.set(message, fields);
  return fields;
}

function parseField(text: string): FieldSchema {
  const parts = text.split(' ');
  const [name = '', number = ''] = parts;
  const last = parts.at(-1) ?? '';
  return {
    name,
    number: Number(number),
    shape: parts.length === 4 ? (parts[2] as FieldSchema['shape']) : 'one',
    type: last.replace('!', ''),
    implicit: last.endsWith('!'),
  };
}

/** The message of a kind: the same name, for the kinds that are served and for those that requests bring without being kept. */
export const messageOfKind = (kind: string): string | undefined => (objectKinds.has(kind) ? kind : undefined);

const objectKinds = new Set([
  ...resources.map((resource) => kinds[resource].kind),
  ...['Binding', 'DeleteOptions', 'Eviction', 'Scale', 'Status', 'TokenRequest'],
  ...['SelfSubjectReview', 'SelfSubjectRulesReview'],
  ...['LocalSubjectAccessReview', 'SelfSubjectAccessReview', 'SubjectAccessReview'],
]);
