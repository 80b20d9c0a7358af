import { keyOf, makeKey, type Key } from '../../../lib/api/keys.ts';
import type { Endpoints, EndpointSlice } from '../../../lib/api/objects.ts';
import { hasReason, ignoreNotFound } from '../../../lib/base/errors.ts';
import type { Client } from '../../../lib/client/client.ts';
import type { Controller, KeyQueue } from '../../../lib/controller/controller.ts';
import type { View } from '../../../lib/view/view.ts';
import { managedByLabel, manager, reconcileSlices, serviceNameLabel, type SliceAction } from './reconcile.ts';

export interface SliceParts {
  readonly endpoints: View<Endpoints>;
  /** With the index of `sliceIndexes`. */
  readonly slices: View<EndpointSlice>;
  readonly client: Pick<Client, 'create' | 'update' | 'delete' | 'get'>;
}

/** By the key of the Endpoints that they show; slices of others are in no file. */
export const sliceIndexes = { service: (slice: EndpointSlice): readonly string[] => ofService(slice) };

function ofService({ metadata }: EndpointSlice): readonly Key[] {
  const { [serviceNameLabel]: name, [managedByLabel]: by } = metadata.labels ?? {};
  return name === undefined || by !== manager ? [] : [makeKey(metadata.namespace, name)];
}

/** Keeps the EndpointSlices of each Service equal to its Endpoints, which alone say who serves. Writes endpointslices. */
export function newSliceController({ endpoints, slices, client }: SliceParts): Controller {
  return {
    name: 'endpointslice-controller',
    async sync(key) {
      const actions = reconcileSlices(endpoints.get(key), slices.by('service', key));
      for (const action of actions) await perform(action);
    },
  };

  async function perform(action: SliceAction): Promise<void> {
    switch (action.type) {
      case 'create':
        return slices.wrote(await client.create('endpointslices', action.draft));
      case 'update':
        return update(action.slice);
      case 'delete': {
        const { uid } = action.slice.metadata;
        await ignoreNotFound(client.delete('endpointslices', keyOf(action.slice), { preconditions: { uid } }));
        return slices.wroteDeletion(action.slice);
      }
    }
  }

  /** Our view of a slice may be late: what is there now is filed, and the loop's next try decides by it. */
  async function update(slice: EndpointSlice): Promise<void> {
    try {
      slices.wrote(await client.update('endpointslices', slice));
    } catch (error) {
      if (!hasReason(error, 'Conflict', 'NotFound')) throw error;
      const now = await client.get('endpointslices', keyOf(slice));
      if (now === undefined) slices.wroteDeletion(slice);
      else slices.wrote(now);
      throw error;
    }
  }
}

export function wakeSlices(queue: KeyQueue, { endpoints, slices }: Pick<SliceParts, 'endpoints' | 'slices'>): void {
  endpoints.onChange(({ key }) => {
    queue.add(key);
  });
  slices.onChange(({ before, after }) => {
    for (const slice of [before, after]) if (slice !== undefined) for (const key of ofService(slice)) queue.add(key);
  });
}

/** Everything that has slices or should have some. */
export const keysOfSlices = ({ endpoints, slices }: Pick<SliceParts, 'endpoints' | 'slices'>): Iterable<Key> =>
  new Set([...endpoints.list().map(keyOf), ...slices.list().flatMap(ofService)]);
