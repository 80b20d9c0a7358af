import { isObject, objectAt, textAt, type Json, type MutableJson } from '../../../../lib/api/json.ts';
import type { PriorityClass } from '../../../../lib/api/objects.ts';
import { systemPriorities } from '../../../../lib/api/validation/bounds.ts';
import { ApiError } from '../../../../lib/base/errors.ts';
import { objectOf } from '../../cache/filing.ts';
import type { Core } from '../core.ts';

/**
 * Gives a new pod the priority of its class, or of the class for pods that name none; without either it has none, which counts as 0. Forbidden for a
 * class that is not there, and for a priority that is not that of the class.
 */
export function prioritize(core: Core, pod: MutableJson): void {
  const { spec } = pod;
  if (!isObject(spec)) return;
  const own = spec as MutableJson;
  const named = textAt(spec, 'priorityClassName');
  const chosen = classOf(core, named);
  if (chosen === undefined && named !== '') throw forbidden(pod, `no PriorityClass with name ${named} was found`);
  const { priority } = spec;
  const value = chosen?.value ?? 0;
  if (typeof priority === 'number' && priority !== value) {
    throw forbidden(
      pod,
      `the integer value of priority (${priority}) must not be provided in pod spec; the priority of its class is ${value}`,
    );
  }
  if (chosen === undefined) return;
  own['priorityClassName'] = chosen.name;
  own['priority'] = chosen.value;
  own['preemptionPolicy'] ??= chosen.preemptionPolicy;
}

interface Chosen {
  readonly name: string;
  readonly value: number;
  readonly preemptionPolicy: string;
}

function classOf(core: Core, name: string): Chosen | undefined {
  const filing = core.cache.filing('priorityclasses');
  if (name === '') {
    if (filing.size === 0) return undefined;
    const defaults = [...filing.entries()]
      .map((entry) => objectOf<PriorityClass>(entry))
      .filter(({ globalDefault }) => globalDefault === true)
      .toSorted((a, b) => a.value - b.value || (a.metadata.name < b.metadata.name ? -1 : 1));
    return defaults[0] === undefined ? undefined : chosenFrom(defaults[0]);
  }
  const entry = filing.get(name);
  if (entry !== undefined) return chosenFrom(objectOf<PriorityClass>(entry));
  const value = Object.hasOwn(systemPriorities, name) ? systemPriorities[name] : undefined;
  return value === undefined ? undefined : { name, value, preemptionPolicy: 'PreemptLowerPriority' };
}

const chosenFrom = ({ metadata, value, preemptionPolicy }: PriorityClass): Chosen => ({
  ...{ name: metadata.name, value },
  preemptionPolicy: preemptionPolicy ?? 'PreemptLowerPriority',
});

/** Forbidden for a second class that wants to be the one for pods that name none. */
export function checkOnlyDefault(core: Core, priorityClass: Json): void {
  if (priorityClass['globalDefault'] !== true) return;
  const name = textAt(objectAt(priorityClass, 'metadata'), 'name');
  const other = [...core.cache.filing('priorityclasses').entries()]
    .filter(({ key }) => key !== name)
    .map((entry) => objectOf<PriorityClass>(entry))
    .find(({ globalDefault }) => globalDefault === true);
  if (other === undefined) return;
  throw new ApiError(
    'Forbidden',
    `priorityclasses "${name}" is forbidden: PriorityClass ${other.metadata.name} is already marked as default. Only one default can exist`,
    { resource: 'priorityclasses', name },
  );
}

const forbidden = (pod: Json, why: string): ApiError => {
  const metadata = objectAt(pod, 'metadata');
  const name = textAt(metadata, 'name') || textAt(metadata, 'generateName');
  return new ApiError('Forbidden', `pods "${name}" is forbidden: ${why}`, { resource: 'pods', name });
};
