import { qualifiedName } from '../../lib/api/names.ts';
import { isExtended, isQuantity, unitsOf, compareQuantities } from '../../lib/api/quantity.ts';
import type { Labels, Node, ResourceList } from '../../lib/api/objects.ts';

/** On a Node: the names of what its agent was started to declare, so that a later one takes back what is declared no more. */
export const declaredAnnotation = 'troupe.dev/declared-resources';

/** Pieces of something, by name: `example.com/gpu`. */
export type Pieces = Readonly<Record<string, number>>;

/** `example.com/gpu=2,example.com/local-ssd=4`: what the machine has beyond cpu, memory and disk. RangeError naming the part that is wrong. */
export function parseResources(text: string): Pieces {
  const pieces = new Map<string, number>();
  for (const part of text.split(',').map((each) => each.trim())) {
    if (part === '') continue;
    const [name = '', amount = '', ...rest] = part.split('=').map((each) => each.trim());
    const wrong = qualifiedName(name);
    if (rest.length > 0 || !isExtended(name))
      throw new RangeError(
        `resource "${part}": must be <domain>/<name>=<number>, such as example.com/gpu=2, the domain not of kubernetes.io`,
      );
    if (wrong !== undefined) throw new RangeError(`resource "${part}": the name ${wrong}`);
    if (pieces.has(name)) throw new RangeError(`resource "${part}": ${name} is given twice`);
    if (!isQuantity(amount) || compareQuantities(amount, 0) < 0 || compareQuantities(amount, unitsOf(amount)) !== 0)
      throw new RangeError(`resource "${part}": "${amount}" must be a whole number, zero or more`);
    pieces.set(name, unitsOf(amount));
  }
  return Object.fromEntries(pieces);
}

/**
 * What the Node's capacity has beyond the agent's own figures: what the agent declares, and what others wrote there (a person, a
 * driver of devices), which stays. What an agent declared before and this one does not goes.
 */
export function extendedCapacity(before: Node, declared: Pieces): ResourceList {
  const ours = new Set(declaredIn(before));
  const theirs = Object.entries(before.status.capacity ?? {}).filter(
    ([name]) => (isExtended(name) || name.startsWith('hugepages-')) && !ours.has(name),
  );
  return Object.fromEntries([
    ...theirs,
    ...Object.entries(declared).map(([name, count]): [string, string] => [name, String(count)]),
  ]);
}

/** A name that is declared no more stays listed until it is gone from the status, which may be written later or by another process. */
export function declaredAnnotations(before: Node | undefined, declared: Pieces): Labels {
  const had = before === undefined ? [] : declaredIn(before);
  const going = had.filter((name) => before?.status.capacity?.[name] !== undefined);
  const names = [...new Set([...Object.keys(declared), ...going])].sort();
  return names.length === 0 && had.length === 0 ? {} : { [declaredAnnotation]: names.join(',') };
}

const declaredIn = ({ metadata }: Node): readonly string[] =>
  (metadata.annotations?.[declaredAnnotation] ?? '').split(',').filter((name) => name !== '');
