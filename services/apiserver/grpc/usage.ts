import type { Messages } from '../../../lib/api/gen/messages.ts';
import type { UsageQuestion, UsageSource } from '../usage/usage.ts';
import type { Methods } from './calls.ts';
import { namespaceFor, selectionFor } from '../door/requests.ts';

interface Request {
  readonly selection?: Messages['Selection'];
  readonly name: string;
  readonly history: boolean;
}

/** The service `Metrics`: what pods and nodes use. */
export function usageService(usage: UsageSource): Methods {
  return {
    ListPods: ({ selection, name, history }: Request) => {
      const namespace = namespaceFor('pods', selection?.namespace ?? '', name !== '');
      return usage.pods({
        ...selectionFor('pods', selection),
        ...(namespace === undefined ? {} : { namespace }),
        ...only(name, history),
      });
    },
    ListNodes: ({ selection, name, history }: Request) =>
      usage.nodes({ ...selectionFor('nodes', selection), ...only(name, history) }),
  };
}

const only = (name: string, history: boolean): UsageQuestion => ({
  ...(name === '' ? {} : { name }),
  ...(history ? { history } : {}),
});
