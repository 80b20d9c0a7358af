import { hasReason } from '../../lib/base/errors.ts';
import type { Clock } from '../../lib/base/clock.ts';
import type { Key } from '../../lib/api/keys.ts';
import { matches, selectorOfLabelSelector } from '../../lib/api/labels.ts';
import type { CustomResourceDefinition, Pod, PodDisruptionBudget } from '../../lib/api/objects.ts';
import { isDeleting } from '../../lib/api/pods.ts';
import type { Client } from '../../lib/client/client.ts';
import type { Controller, SyncResult } from '../../lib/controller/controller.ts';
import type { View } from '../../lib/view/view.ts';
import { customScales } from './custom-scales.ts';
import { countBudget } from './reconcile.ts';
import { scaleOf, type ScaleViews } from './scales.ts';

export interface Views extends ScaleViews {
  readonly budgets: View<PodDisruptionBudget>;
  readonly pods: View<Pod>;
  readonly definitions: View<CustomResourceDefinition>;
}
export interface Parts extends Views {
  readonly client: Pick<Client, 'updateStatus' | 'scale'>;
  readonly clock: Clock;
}

/** An eviction was granted while we counted: what it wrote is about to be in the view. */
const soonMs = 20;
/** Nothing tells of the scale of a user's kind, but its pods, which change with it: asked again so often where it counts. */
const askAgainMs = 30_000;

/**
 * Keeps what every PodDisruptionBudget allows equal to what its pods allow. Writes the status of budgets, always on condition of
 * the revision that was counted from, so that no grant made meanwhile is forgotten.
 */
export function newDisruptionController(parts: Parts): Controller {
  const { budgets, pods, definitions, clock, client } = parts;
  return {
    name: 'disruption-controller',
    async sync(key: Key): Promise<SyncResult | void> {
      const budget = budgets.get(key);
      if (budget === undefined || isDeleting(budget)) return;
      const { selector } = budget.spec;
      const wanted = selector === undefined ? undefined : selectorOfLabelSelector(selector);
      const selected =
        wanted === undefined
          ? []
          : pods.list(budget.metadata.namespace).filter(({ metadata }) => matches(wanted, metadata.labels ?? {}));
      const custom = await customScales(selected, definitions.list(), client);
      const { status, lookAgainMs = Infinity } = countBudget(
        budget,
        selected,
        (pod) => scaleOf(parts, custom, pod),
        clock.now(),
      );
      if (status !== budget.status) {
        try {
          budgets.wrote(await client.updateStatus('poddisruptionbudgets', { ...budget, status }));
        } catch (error) {
          if (hasReason(error, 'NotFound')) return;
          if (hasReason(error, 'Conflict')) return { requeueAfterMs: soonMs };
          throw error;
        }
      }
      const againMs = Math.min(lookAgainMs, custom.size === 0 ? Infinity : askAgainMs);
      return againMs === Infinity ? undefined : { requeueAfterMs: againMs };
    },
  };
}
