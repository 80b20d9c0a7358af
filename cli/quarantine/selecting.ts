import { resources, type Resource } from '../../lib/api/kinds.ts';
import { isObject, type Json } from '../../lib/api/json.ts';
import { selectorOf, selectorOfLabelSelector, type Selector } from '../../lib/api/labels.ts';
import type { Labels } from '../../lib/api/objects.ts';
import type { Selecting } from '../../lib/api/quarantine.ts';
import type { Session } from '../session.ts';
import { nameOf } from '../targets.ts';

/** What has pods by their labels: Services lead traffic to them, controllers count them, budgets hold them. */
const plain: readonly string[] = ['services', 'replicationcontrollers'];
const withOperators: readonly string[] = ['replicasets', 'daemonsets', 'jobs', 'poddisruptionbudgets'];

/** Everything of a namespace that finds pods by labels. An empty selector finds none. */
export async function selectingIn(session: Session, namespace: string): Promise<readonly Selecting[]> {
  const client = await session.client();
  const served = [...plain, ...withOperators].filter((name): name is Resource =>
    (resources as readonly string[]).includes(name),
  );
  const lists = await Promise.all(
    served.map(async (resource) => {
      const { items } = await client.list(resource, { namespace }, session.call);
      return items.flatMap((item) => {
        const selector = selectorIn(resource, (item as { readonly spec?: Json }).spec?.['selector']);
        return selector.length === 0 ? [] : [{ who: nameOf(resource, item.metadata.name), selector }];
      });
    }),
  );
  return lists.flat();
}

function selectorIn(resource: Resource, selector: unknown): Selector {
  if (!isObject(selector)) return [];
  return plain.includes(resource) ? selectorOf(selector as Labels) : selectorOfLabelSelector(selector);
}
