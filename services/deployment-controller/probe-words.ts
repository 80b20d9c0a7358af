import { messageOf } from '../../lib/base/errors.ts';
import type { Pod } from '../../lib/api/objects.ts';
import type { Client } from '../../lib/client/client.ts';

/** Long enough for a busy API; the verdict does not wait for longer. */
const timeoutMs = 1_000;

/**
 * What the agents told last of failed probes of these pods, of which a pod's status has only that it is not ready. Asked for once, when a deadline has
 * passed; undefined when nothing was told, or cannot be had in time: the verdict stands without.
 */
export async function probeWords(client: Pick<Client, 'list'>, pods: readonly Pod[]): Promise<string | undefined> {
  const [first] = pods;
  if (first === undefined) return undefined;
  const { uid, namespace = '' } = first.metadata;
  try {
    const fieldSelector = `involvedObject.uid=${uid},reason=Unhealthy`;
    const { items } = await client.list('events', { namespace, fieldSelector }, { timeoutMs });
    const last = items.toSorted((a, b) => ((a.lastTimestamp ?? '') < (b.lastTimestamp ?? '') ? 1 : -1))[0];
    return last?.message;
  } catch (error) {
    return `why is not known: ${messageOf(error)}`;
  }
}
