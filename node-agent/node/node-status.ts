import { isDeepStrictEqual } from 'node:util';
import { rfc3339 } from '../../lib/base/clock.ts';
import { bytesQuantity, milliQuantity } from '../../lib/api/quantity.ts';
import type { Amounts } from './allocatable.ts';
import type { Labels, Node, NodeCondition, NodeStatus, ResourceList } from '../../lib/api/objects.ts';
import { disksFolderAnnotation } from '../../lib/api/storage.ts';
import { withCondition } from '../../lib/api/pods.ts';
import { declaredAnnotations, extendedCapacity, type Pieces } from './declared.ts';

/** What there is to say of a machine. */
export interface Machine {
  readonly name: string;
  readonly hostIp: string;
  readonly cpuMilli: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  /** What pods may ask for; absent: all there is. */
  readonly allocatable?: Amounts;
  readonly maxPods: number;
  readonly info: Readonly<Record<string, string>>;
  readonly arch: string;
  /** Where disks that outlive pods are made; absent: none can be. */
  readonly disksFolder?: string;
  /** What it has beyond these, as its agent was told. */
  readonly declared?: Pieces;
}

/** How it is doing. Each is undefined when all is well, else says why not. */
export interface Health {
  readonly engine: string | undefined;
  readonly network: string | undefined;
  readonly memory: string | undefined;
  readonly disk: string | undefined;
  readonly processes: string | undefined;
}

/** The labels that scheduling relies on; others on the Node stay. */
export const nodeLabels = (machine: Machine): Readonly<Record<string, string>> => ({
  'kubernetes.io/hostname': machine.name,
  'kubernetes.io/os': 'linux',
  'kubernetes.io/arch': machine.arch,
});

/** What others must know of the machine; other annotations on the Node stay. */
export const nodeAnnotations = ({ disksFolder, declared = {} }: Machine, before?: Node): Labels => ({
  ...(disksFolder === undefined ? {} : { [disksFolderAnnotation]: disksFolder }),
  ...declaredAnnotations(before, declared),
});

/**
 * The node's status as its agent asserts it, on top of what the API has. Times move only with what they tell, so that
 * an unchanged node is never written; the same object comes back when nothing is to be said.
 */
export function nodeStatus(
  before: Node,
  machine: Machine,
  { images, ...health }: Health & { readonly images?: NodeStatus['images'] | undefined },
  nowMs: number,
): NodeStatus {
  const extended = extendedCapacity(before, machine.declared ?? {});
  const resources = ({ cpuMilli, memoryBytes, diskBytes }: Amounts): ResourceList => ({
    cpu: milliQuantity(cpuMilli),
    memory: bytesQuantity(memoryBytes),
    'ephemeral-storage': bytesQuantity(diskBytes),
    pods: String(machine.maxPods),
    ...extended,
  });
  let conditions = before.status.conditions ?? [];
  for (const condition of conditionsOf(health)) {
    const old = conditions.find((candidate) => candidate.type === condition.type);
    const lastHeartbeatTime =
      old?.status === condition.status && old.lastHeartbeatTime !== undefined ? old.lastHeartbeatTime : rfc3339(nowMs);
    conditions = withCondition<NodeCondition>(conditions, { ...condition, lastHeartbeatTime }, nowMs);
  }
  const status: NodeStatus = {
    ...before.status,
    capacity: resources(machine),
    allocatable: resources(machine.allocatable ?? machine),
    conditions,
    addresses: [
      { type: 'InternalIP', address: machine.hostIp },
      { type: 'Hostname', address: machine.name },
    ],
    nodeInfo: { ...before.status.nodeInfo, ...machine.info },
    ...(images === undefined ? {} : { images }),
  };
  return isDeepStrictEqual(status, before.status) ? before.status : status;
}

function conditionsOf(health: Health): readonly NodeCondition[] {
  const pressure = (type: string, why: string | undefined, [bad, good]: readonly [string, string]): NodeCondition => ({
    type,
    status: why === undefined ? 'False' : 'True',
    reason: why === undefined ? good : bad,
    message: why ?? 'as it should be',
  });
  return [
    pressure('MemoryPressure', health.memory, ['AgentHasInsufficientMemory', 'AgentHasSufficientMemory']),
    pressure('DiskPressure', health.disk, ['AgentHasDiskPressure', 'AgentHasNoDiskPressure']),
    pressure('PIDPressure', health.processes, ['AgentHasInsufficientPID', 'AgentHasSufficientPID']),
    pressure('NetworkUnavailable', health.network, ['NoPodRange', 'PodRangeInUse']),
    {
      type: 'Ready',
      status: health.engine === undefined && health.network === undefined ? 'True' : 'False',
      reason: health.engine === undefined && health.network === undefined ? 'AgentReady' : 'AgentNotReady',
      message: health.engine ?? health.network ?? 'the agent can run pods',
    },
  ];
}
