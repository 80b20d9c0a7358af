import { rfc3339 } from '../../lib/base/clock.ts';
import type { Endpoints, EndpointSubset, Pod, Service } from '../../lib/api/objects.ts';

/** When that happened which made the last change of Endpoints necessary: what it took from there to any observer can be measured (api-v1 3.5). */
export const triggerTime = 'endpoints.kubernetes.io/last-change-trigger-time';

/**
 * The moment of the earliest change that leads from `current` to `subsets`: a pod that became ready or stopped being so, one that was asked to
 * go, a new Service. Undefined where none of the objects tells, as for a pod that is gone.
 */
export function triggerTimeOf(
  service: Service,
  pods: readonly Pod[],
  current: Endpoints | undefined,
  subsets: readonly EndpointSubset[],
): string | undefined {
  const [before, after] = [membersOf(current?.subsets ?? []), membersOf(subsets)];
  const times = pods
    .filter(({ metadata: { uid } }) => before.get(uid) !== after.get(uid))
    .flatMap((pod) => changeMs(pod) ?? []);
  if (current === undefined) times.push(Date.parse(service.metadata.creationTimestamp));
  const known = times.filter(Number.isFinite);
  return known.length === 0 ? undefined : rfc3339(Math.min(...known));
}

/** Whether a pod is there, and ready, by its uid. */
function membersOf(subsets: readonly EndpointSubset[]): ReadonlyMap<string | undefined, boolean> {
  const members = new Map<string | undefined, boolean>();
  for (const { addresses = [], notReadyAddresses = [] } of subsets) {
    for (const { targetRef } of notReadyAddresses) members.set(targetRef?.uid, false);
    for (const { targetRef } of addresses) members.set(targetRef?.uid, true);
  }
  return members;
}

function changeMs({ metadata, status }: Pod): number | undefined {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = metadata;
  // The timestamp says when the grace is over.
  if (deletionTimestamp !== undefined) return Date.parse(deletionTimestamp) - deletionGracePeriodSeconds * 1000;
  const since = status.conditions?.find(({ type }) => type === 'Ready')?.lastTransitionTime;
  return since === undefined ? undefined : Date.parse(since);
}
