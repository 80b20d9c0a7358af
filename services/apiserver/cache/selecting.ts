import { fieldValue, parseFieldSelector, type FieldRequirement } from '../../../lib/api/fields.ts';
import type { Resource } from '../../../lib/api/kinds.ts';
import { matches, parseSelector, type Selector } from '../../../lib/api/labels.ts';
import type { ApiObject } from '../../../lib/api/objects.ts';
import { extractedFields, isFiled, type Indexed } from './indexed.ts';

export interface SelectionText {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

/** A selection made ready: which objects it takes, and by what they are found quickest. */
export interface Selecting {
  readonly resource: Resource;
  /** The same for selections that are written alike; watches that share it share the matching. */
  readonly id: string;
  readonly namespace: string | undefined;
  readonly labels: Selector;
  /** From `metadata.name=x`. */
  readonly name: string | undefined;
  /** Equalities on fields under which objects are filed: the field's index in `extractedFields`, and the value. */
  readonly filed: readonly { readonly index: number; readonly value: string }[];
  /** Nothing but the namespace decides. */
  readonly takesAll: boolean;
  /** `parse` is called only for fields that are not kept beside the bytes. */
  matches(indexed: Indexed, parse: () => ApiObject): boolean;
}

/** `more`: fields to select by that a definition names. BadRequest when a selector cannot be parsed or names a field that cannot be selected by. */
export function selecting(resource: Resource, selection: SelectionText, more: readonly string[] = []): Selecting {
  const { namespace, labelSelector = '', fieldSelector = '' } = selection;
  const labels = parseSelector(labelSelector);
  const fields = parseFieldSelector(resource, fieldSelector, more);
  const tests = fields.map((requirement) => fieldTest(resource, requirement));
  const kept = extractedFields(resource);
  const isEqual = ({ operator }: FieldRequirement): boolean => operator === '=';
  return {
    resource,
    id: JSON.stringify([resource, namespace ?? '', labelSelector, fieldSelector]),
    namespace: namespace === '' ? undefined : namespace,
    labels,
    name: fields.find((field) => field.path === 'metadata.name' && isEqual(field))?.value,
    filed: fields
      .filter((field) => isEqual(field) && isFiled(field.path) && field.value !== '')
      .map(({ path, value }) => ({ index: kept.indexOf(path), value })),
    takesAll: labels.length === 0 && fields.length === 0,
    matches: (indexed, parse) =>
      (namespace === undefined || namespace === '' || indexed.namespace === namespace) &&
      (labels.length === 0 || matches(labels, indexed.labels)) &&
      tests.every((test) => test(indexed, parse)),
  };
}

type FieldTest = (indexed: Indexed, parse: () => ApiObject) => boolean;

function fieldTest(resource: Resource, { path, operator, value }: FieldRequirement): FieldTest {
  const wanted = operator === '=';
  const index = extractedFields(resource).indexOf(path);
  if (path === 'metadata.name') return ({ name }) => (name === value) === wanted;
  if (path === 'metadata.namespace') return ({ namespace }) => (namespace === value) === wanted;
  if (index >= 0) return ({ fields }) => (fields[index] === value) === wanted;
  return (_, parse) => (fieldValue(resource, parse(), path) === value) === wanted;
}
