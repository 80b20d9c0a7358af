import { rfc3339 } from '../base/clock.ts';
import type {
  ApiObject,
  Condition,
  Container,
  OwnerReference,
  Pod,
  PodCondition,
  PodSpec,
  Protocol,
  ResourceList,
  Taint,
  Toleration,
} from './objects.ts';
import { milliOf, unitsOf } from './quantity.ts';

/** What the loops ask of pods again and again. All of it is pure; times are milliseconds since 1970. */

/** Has ended for good: a terminal phase is never left (F56). */
export const isTerminal = (pod: Pod): boolean => pod.status.phase === 'Succeeded' || pod.status.phase === 'Failed';

export const isDeleting = (object: ApiObject): boolean => object.metadata.deletionTimestamp !== undefined;

/** Counts as a replica: neither ended nor on its way out (F117). */
export const isActive = (pod: Pod): boolean => !isTerminal(pod) && !isDeleting(pod);

/** Its condition Ready is True. A pod that is being deleted may still say so: traffic asks `isActive` too. */
export const isReady = (pod: Pod): boolean => conditionOf(pod.status, 'Ready')?.status === 'True';

/** Ready for at least `minReadySeconds`. */
export function isAvailable(pod: Pod, minReadySeconds: number, nowMs: number): boolean {
  const wait = availableInMs(pod, minReadySeconds, nowMs);
  return wait !== undefined && wait <= 0;
}

/** How long until a ready pod counts as available, 0 when it does; undefined when it is not ready. */
export function availableInMs(pod: Pod, minReadySeconds: number, nowMs: number): number | undefined {
  const ready = conditionOf(pod.status, 'Ready');
  if (ready?.status !== 'True') return undefined;
  if (minReadySeconds <= 0) return 0;
  const since = Date.parse(ready.lastTransitionTime ?? '');
  return Number.isNaN(since) ? minReadySeconds * 1000 : Math.max(0, since + minReadySeconds * 1000 - nowMs);
}

/** The one owner that manages the object; there is at most one (F114). */
export const controllerOf = (object: ApiObject): OwnerReference | undefined =>
  object.metadata.ownerReferences?.find((owner) => owner.controller === true);

/** Of the pods of one controller those with a lower one are missed less (Kubernetes API, "Pod deletion cost"). */
export const deletionCostAnnotation = 'controller.kubernetes.io/pod-deletion-cost';

/** What does not read as a whole number counts as 0. */
export function deletionCostOf(pod: Pod): number {
  const cost = pod.metadata.annotations?.[deletionCostAnnotation] ?? '';
  return /^-?[0-9]{1,10}$/.test(cost) ? Number(cost) : 0;
}

// ---- Conditions --------------------------------------------------------------------------------

interface WithConditions<C extends Condition> {
  readonly conditions?: readonly C[];
}

export const conditionOf = <C extends Condition>(status: WithConditions<C>, type: string): C | undefined =>
  status.conditions?.find((condition) => condition.type === type);

/**
 * The conditions with one of them set. Its lastTransitionTime moves only when its status changes, and an equal
 * condition gives back the very same list, so that callers can tell by `===` that there is nothing to write.
 */
export function withCondition<C extends Condition = PodCondition>(
  conditions: readonly C[] | undefined,
  next: C,
  nowMs: number,
): readonly C[] {
  const list = conditions ?? [];
  const at = list.findIndex((condition) => condition.type === next.type);
  const before = list[at];
  const unmoved = before?.status === next.status && before.lastTransitionTime !== undefined;
  const stamped: C = { ...next, lastTransitionTime: unmoved ? before.lastTransitionTime : rfc3339(nowMs) };
  if (before === undefined) return [...list, stamped];
  return sameMembers(before, stamped) ? list : list.with(at, stamped);
}

const sameMembers = (a: object, b: object): boolean => {
  const [left, right] = [new Map(Object.entries(a)), new Map(Object.entries(b))];
  return [...new Set([...left.keys(), ...right.keys()])].every((key) => left.get(key) === right.get(key));
};

// ---- Resources and ports -----------------------------------------------------------------------

/** What a pod asks of a node. */
export interface Needs {
  /** Thousandths of a core. */
  readonly cpuMilli: number;
  readonly memoryBytes: number;
  /** `ephemeral-storage`: written files, logs, emptyDirs on disk. */
  readonly diskBytes: number;
  /** Always 1: a node's capacity counts pods too. */
  readonly pods: number;
  /** All else that nodes declare, by name, in whole units: `example.com/gpu`, `hugepages-2Mi` (bytes). Absent where nothing is asked for. */
  readonly others?: Readonly<Record<string, number>>;
}

const ownResources: ReadonlySet<string> = new Set(['cpu', 'memory', 'ephemeral-storage', 'pods']);
/** What a list of amounts has beyond cpu, memory, ephemeral-storage and pods, in whole units; undefined for nothing. */
export function othersIn(list: ResourceList | undefined): Readonly<Record<string, number>> | undefined {
  let others: Record<string, number> | undefined;
  for (const name in list) {
    if (ownResources.has(name)) continue;
    (others ??= {})[name] = unitsOf(list[name] ?? 0);
  }
  return others;
}

/**
 * What a pod's containers ask for together. Init containers run before them and one after another, so that each
 * only has to fit by itself; one with restartPolicy Always (a sidecar) stays and counts with the others from then on.
 */
export function needsOf(spec: PodSpec): Needs {
  return {
    cpuMilli: togetherOf(spec, (container) => milliOf(container.resources?.requests?.['cpu'] ?? 0)),
    memoryBytes: togetherOf(spec, (container) => unitsOf(container.resources?.requests?.['memory'] ?? 0)),
    diskBytes: togetherOf(spec, (container) => unitsOf(container.resources?.requests?.['ephemeral-storage'] ?? 0)),
    pods: 1,
    ...othersOf(spec),
  };
}

function othersOf(spec: PodSpec): Pick<Needs, 'others'> {
  const names = new Set<string>();
  for (const list of [spec.containers, spec.initContainers ?? []])
    for (const { resources } of list)
      for (const name in resources?.requests) if (!ownResources.has(name)) names.add(name);
  if (names.size === 0) return {};
  const of = (name: string): number => togetherOf(spec, ({ resources }) => unitsOf(resources?.requests?.[name] ?? 0));
  return { others: Object.fromEntries([...names].map((name) => [name, of(name)])) };
}

/** The most that a pod's containers may use together of something each of them has an amount of. */
export function togetherOf(spec: PodSpec, ask: (container: Partial<Container>) => number): number {
  let sidecars = 0;
  let starting = 0;
  for (const init of spec.initContainers ?? []) {
    const need = ask(init);
    if (init.restartPolicy === 'Always') sidecars += need;
    starting = Math.max(starting, init.restartPolicy === 'Always' ? sidecars : sidecars + need);
  }
  const running = spec.containers.reduce((sum, container) => sum + ask(container), sidecars);
  return Math.max(starting, running);
}

export interface HostPort {
  /** `0.0.0.0` is every address of the node. */
  readonly ip: string;
  readonly port: number;
  readonly protocol: Protocol;
}

/** The ports of the node itself that a pod's containers take. */
export const hostPortsOf = (spec: PodSpec): readonly HostPort[] =>
  [...(spec.initContainers ?? []), ...spec.containers].flatMap((container) =>
    (container.ports ?? []).flatMap((port) =>
      port.hostPort === undefined || port.hostPort === 0
        ? []
        : [
            {
              ip: port.hostIP === undefined || port.hostIP === '' ? '0.0.0.0' : port.hostIP,
              port: port.hostPort,
              protocol: port.protocol,
            },
          ],
    ),
  );

/** Whether two host ports cannot be on one node. */
export const portsClash = (a: HostPort, b: HostPort): boolean =>
  a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || a.ip === '0.0.0.0' || b.ip === '0.0.0.0');

// ---- Taints ------------------------------------------------------------------------------------

/** Whether a toleration covers a taint. An empty key with Exists covers every key, an empty effect every effect. */
export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if ((toleration.effect ?? '') !== '' && toleration.effect !== taint.effect) return false;
  const exists = toleration.operator === 'Exists';
  if ((toleration.key ?? '') === '') return exists;
  if (toleration.key !== taint.key) return false;
  return exists || (toleration.value ?? '') === (taint.value ?? '');
}

/** The taints among `taints` that none of the pod's tolerations covers. */
export const untolerated = (spec: PodSpec, taints: readonly Taint[]): readonly Taint[] =>
  taints.filter((taint) => !(spec.tolerations ?? []).some((toleration) => tolerates(toleration, taint)));
