import { gangOf } from '../../lib/api/gangs.ts';
import { matches, selectorOfLabelSelector } from '../../lib/api/labels.ts';
import { isLeaving } from '../../lib/api/leaving.ts';
import type {
  Deployment,
  Pod,
  PodDisruptionBudget,
  PodSpec,
  ReplicaSet,
  ReplicationController,
} from '../../lib/api/objects.ts';
import { conditionOf, isActive, isDeleting, isReady } from '../../lib/api/pods.ts';
import { consentIn } from '../../lib/api/rebalancing.ts';
import { agreementOf, isRollingEnd, predecessorOf, rollingStatusOf } from '../../lib/api/rolling-updates.ts';

/** What keeps a number of pods of one template on nodes of the scheduler's choice. */
export type Owner = ReplicationController | ReplicaSet;

/** Whether the pods of a controller may be moved: the template says, else the Deployment above it, else it itself, else `byDefault`. */
export function isWilling(owner: Owner, deployment: Deployment | undefined, byDefault: boolean): boolean {
  const said = [owner.spec.template.metadata?.annotations, (deployment ?? owner).metadata.annotations].map(consentIn);
  return said.find((each) => each !== undefined) ?? byDefault;
}

/** Why this is no time to move pods of a controller; undefined when all it wants is there and serves, and nobody changes it. */
export function unrest(owner: Owner, pods: readonly Pod[], nowMs: number): string | undefined {
  if (isDeleting(owner)) return 'it is being deleted';
  if ((owner.status.observedGeneration ?? 0) < (owner.metadata.generation ?? 0)) return 'it has just been changed';
  if (owner.spec.template.spec.nodeName !== undefined) return 'its template names the node';
  if (isRollingOut(owner)) return 'it is being rolled out';
  const going = pods.find(isDeleting);
  if (going !== undefined) return `${going.metadata.name} is ending`;
  const active = pods.filter(isActive);
  const late = active.find((pod) => !isReady(pod) || pod.spec.nodeName === undefined);
  if (late !== undefined) return `${late.metadata.name} is not ready`;
  if (active.length !== owner.spec.replicas) return `${active.length} of ${owner.spec.replicas} pods are there`;
  const leaving = active.find((pod) => isLeaving(pod, nowMs));
  return leaving === undefined ? undefined : `${leaving.metadata.name} is leaving`;
}

function isRollingOut(owner: Owner): boolean {
  if (owner.kind === 'ReplicaSet') return false; // its Deployment is asked
  const rc = owner as ReplicationController;
  if (predecessorOf(rc) !== undefined) return true;
  const status = rollingStatusOf(rc);
  return status === undefined ? agreementOf(rc) !== undefined : !isRollingEnd(status.phase);
}

/** Why a pod stays where it is, whatever its controller says; undefined for one that may go. */
export function bond(pod: Pod, owner: Owner, budgets: readonly PodDisruptionBudget[]): string | undefined {
  if (consentIn(pod.metadata.annotations) === false) return 'it says so';
  if (gangOf(pod) !== undefined) return 'it belongs to a gang';
  if (conditionOf(pod.status, 'DisruptionTarget')?.status === 'True') return 'it is to end anyway';
  const disk = pod.spec.volumes?.find(
    ({ emptyDir, hostPath, persistentVolumeClaim }) =>
      (emptyDir !== undefined && emptyDir.medium !== 'Memory') ||
      hostPath !== undefined ||
      persistentVolumeClaim !== undefined,
  );
  if (disk !== undefined) return `its volume ${disk.name} may be of this node`;
  if (runs(pod.spec) !== runs(owner.spec.template.spec))
    return 'its controller would make another: the template was changed';
  const [budget, ...more] = budgets.filter((each) => selects(each, pod));
  if (more.length > 0) return 'it has several disruption budgets, and an eviction can be taken off one only';
  if (budget === undefined) return undefined;
  const { currentHealthy, desiredHealthy, observedGeneration = 0 } = budget.status;
  // With the replacement there is one more healthy pod than now.
  return observedGeneration >= (budget.metadata.generation ?? 0) && currentHealthy >= desiredHealthy
    ? undefined
    : `the disruption budget ${budget.metadata.name} would not grant it`;
}

/** What a person would notice if a pod were made from another template. */
const runs = ({ containers }: PodSpec): string =>
  JSON.stringify(containers.map(({ name, image, command, args, env }) => [name, image, command, args, env]));

const selects = ({ spec: { selector } }: PodDisruptionBudget, { metadata }: Pod): boolean =>
  selector !== undefined && matches(selectorOfLabelSelector(selector), metadata.labels ?? {});
