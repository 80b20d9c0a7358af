import { isAbsent, isObject, objectAt, objectsAt, sameJson, textAt, type Json } from '../json.ts';
import { qualifiedName } from '../names.ts';
import { Seen, type Findings } from './findings.ts';

/** The gates of a pod, or of a template: names, each once. */
export function validateGates(found: Findings, field: string, gates: readonly Json[]): void {
  const seen = new Seen();
  gates.forEach((gate, index) => {
    const name = textAt(gate, 'name');
    found.checkRequired(`${field}[${index}].name`, name, qualifiedName);
    if (name !== '' && seen.again(name)) found.duplicate(`${field}[${index}]`, { name });
  });
}

/** A pod with a node has its place already: gates could hold nothing back. */
export function validateNewGates(found: Findings, spec: Json): void {
  if (gatesOf(spec).length > 0 && textAt(spec, 'nodeName') !== '')
    found.forbidden('spec.nodeName', 'cannot be set until all schedulingGates have been cleared');
}

/** Gates are opened, one after another, and never closed again: a pod may not be taken back from its scheduler. */
export function validateGatesUpdate(found: Findings, next: Json, previous: Json): void {
  const before = gatesOf(previous);
  for (const gate of gatesOf(next))
    if (!before.includes(gate))
      found.forbidden('spec.schedulingGates', `only deletion is allowed, but found new scheduling gate '${gate}'`);
}

/**
 * Until it is placed by anybody a gated pod may be told more narrowly where it goes, so that whoever holds the gate can decide that: more
 * labels, more requirements of each term, other preferences; never less than was asked for.
 */
export function narrows(field: string, next: Json, previous: Json): boolean {
  if (gatesOf(previous).length === 0 || textAt(previous, 'nodeName') !== '') return false;
  if (field === 'nodeSelector') return contains(objectAt(next, field), objectAt(previous, field));
  if (field !== 'affinity') return false;
  const [now, then] = [objectAt(next, field), objectAt(previous, field)];
  const others = (affinity: Json): Json => ({ ...affinity, nodeAffinity: undefined });
  return (
    sameJson(others(now), others(then)) && narrowsNodes(objectAt(now, 'nodeAffinity'), objectAt(then, 'nodeAffinity'))
  );
}

const required = 'requiredDuringSchedulingIgnoredDuringExecution';

function narrowsNodes(next: Json, previous: Json): boolean {
  if (isAbsent(previous[required])) return true;
  if (!isObject(next[required])) return false;
  const [terms, before] = [next, previous].map((each) => objectsAt(objectAt(each, required), 'nodeSelectorTerms'));
  if (terms === undefined || before === undefined) return false;
  if (terms.length !== before.length) return false;
  return before.every((old, index) =>
    ['matchExpressions', 'matchFields'].every((list) => {
      const now = objectsAt(terms[index] ?? {}, list);
      // A term without any requirement matches no node: one that is added would widen it.
      if (isEmpty(old)) return now.length === 0;
      return objectsAt(old, list).every((each) => now.some((other) => sameJson(other, each)));
    }),
  );
}

const isEmpty = (term: Json): boolean =>
  objectsAt(term, 'matchExpressions').length + objectsAt(term, 'matchFields').length === 0;

const contains = (next: Json, previous: Json): boolean =>
  Object.entries(previous).every(([key, value]) => next[key] === value);

const gatesOf = (spec: Json): readonly string[] =>
  objectsAt(spec, 'schedulingGates').map((gate) => textAt(gate, 'name'));
