import type { Pod } from '../../lib/api/objects.ts';
import { messageOf } from '../../lib/base/errors.ts';
import type { AgentParts } from '../parts.ts';
import { RuntimeError } from '../runtime/runtime.ts';
import { podLimits } from './group-limits.ts';

/**
 * The group for a pod's containers, made with its limits; undefined where the node has none. Rejects with CannotCreate: a pod is
 * not run without the bounds it was promised.
 */
export async function groupFor(parts: AgentParts, pod: Pod): Promise<string | undefined> {
  if (parts.cgroups === undefined) return undefined;
  try {
    return await parts.cgroups.prepare(pod.metadata.uid, podLimits(pod, parts.maxPodPids));
  } catch (error) {
    throw new RuntimeError('CannotCreate', `the pod's control group could not be made: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
