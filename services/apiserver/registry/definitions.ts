import { cleanupFinalizer, establishedStatus, type Taken } from '../../../lib/api/custom/establish.ts';
import { isAbsent, listAt, objectAt, textAt, type Json, type MutableJson } from '../../../lib/api/json.ts';
import { kinds, resources, type Custom } from '../../../lib/api/kinds.ts';
import type { CustomResourceDefinition } from '../../../lib/api/objects.ts';
import { ApiError, conflict, type FieldCause } from '../../../lib/base/errors.ts';
import { objectOf } from '../cache/filing.ts';
import { faultsOfRules } from '../rules/rules.ts';
import type { StoreOp } from '../store/store.ts';
import { metadataOf, type Core } from './core.ts';
import type { Kind } from './kinds.ts';

/**
 * What becomes of a definition at the door: whether it is served is decided with the very commit that brings it, so that every
 * server that has heard of the commit serves the kind. Changes the object in place; answers what must be committed with it.
 */
export function establish(core: Core, definition: MutableJson): readonly StoreOp[] {
  const group = textAt(objectAt(definition, 'spec'), 'group');
  const name = textAt(objectAt(definition, 'metadata'), 'name');
  const typed = { ...definition, status: definition['status'] ?? {} } as unknown as CustomResourceDefinition;
  definition['status'] = establishedStatus(typed, takenIn(core, group, name), core.clock.now());
  return [groupClaim(core, group)];
}

/** Names of other kinds of the group, built-in ones included. */
function takenIn(core: Core, group: string, except: string): readonly Taken[] {
  const custom = [...core.cache.filing('customresourcedefinitions').entries()]
    .filter(({ key }) => key !== except && key.endsWith(`.${group}`))
    .map((entry) => objectOf<CustomResourceDefinition>(entry))
    .filter(({ spec }) => spec.group === group)
    .flatMap(({ metadata, status }): readonly Taken[] =>
      status.acceptedNames === undefined || status.acceptedNames.kind === ''
        ? []
        : [{ owner: metadata.name, names: status.acceptedNames }],
    );
  const builtIn = resources
    .filter((resource) => kinds[resource].group === group)
    .map((resource): Taken => {
      const { kind, singular, shortNames } = kinds[resource];
      return { owner: `${resource}.${group}`, names: { plural: resource, kind, singular, shortNames } };
    });
  return [...builtIn, ...custom];
}

/** Written with every definition of a group: of two that want the same name at once, one is told to look again. */
function groupClaim(core: Core, group: string): StoreOp {
  const key = `claims/definitions/${group}`;
  return { key, value: Buffer.from('{}'), ifRevision: core.cache.claim(key)?.revision ?? 0 };
}

/** A definition is held from its first moment until its objects are gone. */
export function holdDefinition(definition: MutableJson): void {
  const metadata = metadataOf(definition);
  const given = listAt(metadata, 'finalizers');
  if (!given.includes(cleanupFinalizer)) metadata['finalizers'] = [...given, cleanupFinalizer];
}

/** Without the hold where there is nothing to be cleaned up. */
export function releasedIfEmpty(core: Core, definition: MutableJson): MutableJson {
  const metadata = objectAt(definition, 'metadata');
  if (isAbsent(metadata['deletionTimestamp'])) return definition;
  if (core.cache.filing(textAt(metadata, 'name') as Custom).size > 0) return definition;
  const finalizers = listAt(metadata, 'finalizers').filter((each) => each !== cleanupFinalizer);
  const { finalizers: _, ...rest } = metadata;
  return { ...definition, metadata: finalizers.length === 0 ? rest : { ...rest, finalizers } };
}

/** Conflict while there are objects of the kind: nobody could see them any more. */
export function checkNoObjects(core: Core, definition: Json): void {
  const name = textAt(objectAt(definition, 'metadata'), 'name');
  const { size } = core.cache.filing(name as Custom);
  if (size > 0) throw conflict('customresourcedefinitions', name, `there are still ${size} objects of it`);
}

/** MethodNotAllowed for an object of a kind whose definition goes. */
export function checkMayMake(core: Core, kind: Kind): void {
  if (kind.at === undefined) return;
  if (core.cache.get('customresourcedefinitions', kind.resource)?.indexed.deleting !== true) return;
  throw new ApiError(
    'MethodNotAllowed',
    `create not allowed while custom resource definition is terminating: ${kind.resource}`,
    { resource: kind.resource },
  );
}

/** What is wrong with the rules in CEL of a definition that is otherwise right; nothing for objects of other kinds. */
export const checkRules = ({ resource }: Kind, object: Json, causes: readonly FieldCause[]): readonly FieldCause[] =>
  resource === 'customresourcedefinitions' && causes.length === 0 ? faultsOfRules(object) : causes;
