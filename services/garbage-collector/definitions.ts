import { cleanupFinalizer } from '../../lib/api/custom/establish.ts';
import { customKindOf } from '../../lib/api/custom/kind.ts';
import { isGone } from '../../lib/api/ending.ts';
import type { Custom } from '../../lib/api/kinds.ts';
import type { CustomResourceDefinition } from '../../lib/api/objects.ts';
import { isDeleting } from '../../lib/api/pods.ts';
import { hasReason } from '../../lib/base/errors.ts';
import type { Client } from '../../lib/client/client.ts';
import type { Controller, KeyQueue } from '../../lib/controller/controller.ts';
import type { View } from '../../lib/view/view.ts';
import type { CustomOwner } from './owner-key.ts';

export interface DefinitionParts {
  readonly definitions: View<CustomResourceDefinition>;
  readonly client: Client;
}

/** Objects that others hold go when these let them; so often we look. */
const lookAgainMs = 1_000;

/** The kinds that users defined whose objects live in namespaces. */
export const customIn = (definitions: View<CustomResourceDefinition>): readonly Custom[] =>
  definitions.list().flatMap((definition) => {
    const kind = customKindOf(definition);
    return kind?.namespaced === true ? [kind.resource] : [];
  });

/** Looks up owners among the kinds that users defined. */
export const ownersDefinedIn =
  (definitions: View<CustomResourceDefinition>): CustomOwner =>
  (apiVersion, kind) =>
    definitions
      .list()
      .map((definition) => customKindOf(definition))
      .find((each) => each?.kind === kind && each.versions.some(({ name }) => apiVersion === `${each.group}/${name}`));

/**
 * Removes the objects of a kind whose definition goes, then lets the definition go; and has a definition looked at again whose names another one
 * held. Writes definitions, and deletions. A second run finds nothing to do.
 */
export function newDefinitionCollector({ definitions, client }: DefinitionParts): Controller {
  return {
    name: 'definition-collector',
    async sync(key) {
      const definition = definitions.get(key);
      if (definition === undefined) return;
      if (!isDeleting(definition)) return namesAreFree(definition) ? lookAgain(definition) : undefined;
      if (definition.metadata.finalizers?.includes(cleanupFinalizer) !== true) return;
      if (customKindOf(definition) !== undefined) {
        const resource = key as Custom;
        await client.deleteCollection(resource, { propagationPolicy: 'Background' });
        if ((await client.list(resource)).items.length > 0) return { requeueAfterMs: lookAgainMs };
      }
      await letGo(definition);
      return undefined;
    },
  };

  /** The server says what of its names is free: it judges with every write. */
  async function lookAgain({ metadata }: CustomResourceDefinition): Promise<void> {
    try {
      definitions.wrote(await client.patch('customresourcedefinitions', metadata.name, {}));
    } catch (error) {
      if (!hasReason(error, 'NotFound')) throw error;
    }
  }

  /** Whether a definition that is not served, or not by all of its names, waits for nobody any more. */
  function namesAreFree(definition: CustomResourceDefinition): boolean {
    const refused = definition.status.conditions?.some(
      ({ type, status }) => type === 'NamesAccepted' && status === 'False',
    );
    if (refused !== true) return false;
    const holder = /in use by (\S+)$/.exec(
      definition.status.conditions?.find(({ type }) => type === 'NamesAccepted')?.message ?? '',
    )?.[1];
    return holder === undefined || definitions.get(holder) === undefined;
  }

  async function letGo(definition: CustomResourceDefinition): Promise<void> {
    const { metadata } = definition;
    const finalizers = (metadata.finalizers ?? []).filter((each) => each !== cleanupFinalizer);
    try {
      const written = await client.update('customresourcedefinitions', {
        ...definition,
        metadata: { ...metadata, finalizers },
      });
      if (isGone(written)) definitions.wroteDeletion(written);
      else definitions.wrote(written);
    } catch (error) {
      if (!hasReason(error, 'NotFound')) throw error;
      definitions.wroteDeletion(definition);
    }
  }
}

/** A definition that goes may free the names that another one waits for. */
export function wakeDefinitions(queue: KeyQueue, definitions: View<CustomResourceDefinition>): void {
  definitions.onChange(({ key, after }) => {
    if (after !== undefined) queue.add(key);
    else for (const { metadata } of definitions.list()) queue.add(metadata.name);
  });
}
