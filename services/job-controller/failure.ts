import { keyOf } from '../../lib/api/keys.ts';
import type { Job, Pod, PodFailurePolicyRule } from '../../lib/api/objects.ts';
import { containersOf } from './pods.ts';

/** What the failure of a pod means to its Job. */
export interface Meaning {
  readonly action: PodFailurePolicyRule['action'];
  /** Why, for people; empty where no rule matched. */
  readonly message: string;
}

/** The action of the first rule that matches; a failure that none matches is counted. */
export function meaningOf(job: Job, pod: Pod): Meaning {
  for (const [index, rule] of (job.spec.podFailurePolicy?.rules ?? []).entries()) {
    const why = matchOf(rule, pod);
    if (why !== undefined)
      return { action: rule.action, message: `${why} matching ${rule.action} rule at index ${index}` };
  }
  return { action: 'Count', message: '' };
}

function matchOf({ onExitCodes, onPodConditions = [] }: PodFailurePolicyRule, pod: Pod): string | undefined {
  if (onExitCodes !== undefined) {
    const { containerName, operator, values } = onExitCodes;
    for (const { name, state } of containersOf(pod)) {
      const code = state?.terminated?.exitCode ?? 0;
      if (code === 0 || (containerName !== undefined && containerName !== name)) continue;
      if (values.includes(code) === (operator === 'In'))
        return `Container ${name} for pod ${keyOf(pod)} failed with exit code ${code}`;
    }
    return undefined;
  }
  const found = onPodConditions.find(({ type, status }) =>
    pod.status.conditions?.some((condition) => condition.type === type && condition.status === status),
  );
  return found === undefined ? undefined : `Pod ${keyOf(pod)} has condition ${found.type}`;
}
