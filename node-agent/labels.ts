import type { Container, Pod } from '../lib/api/objects.ts';
import type { SteadyTimes } from './steady-time.ts';
import type { RuntimeContainer } from './runtime/runtime.ts';

/** All that the agent knows of its containers after a restart is what they carry as labels. */
export const label = {
  kind: 'troupe.kind',
  namespace: 'troupe.pod.namespace',
  pod: 'troupe.pod.name',
  uid: 'troupe.pod.uid',
  container: 'troupe.container',
  /** 0 for the first; the pod's restart count. */
  attempt: 'troupe.attempt',
  /** How many crashes in a row came before this attempt: the state of the back-off. */
  crashes: 'troupe.crashes',
  /** The pod's address, on its sandbox. */
  ip: 'troupe.ip',
  /** On the others: the id of the sandbox whose namespaces they join. */
  sandbox: 'troupe.sandbox',
  /** On a container that was made before it was known how the one before it ended: it counts once it has been started. */
  ahead: 'troupe.ahead',
  /** On a sandbox that was made before its pod was known: whose its address was then. Its pod, if it has one, its name tells. */
  warm: 'troupe.warm',
} as const;

export type ContainerKind = 'sandbox' | 'init' | 'container' | 'ephemeral';
const containerKinds: readonly string[] = [
  'sandbox',
  'init',
  'container',
  'ephemeral',
] satisfies readonly ContainerKind[];
const isContainerKind = (text: string | undefined): text is ContainerKind => containerKinds.includes(text ?? '');

/** A container of a pod, as its labels tell. */
export interface PodContainer {
  readonly kind: ContainerKind;
  readonly uid: string;
  readonly namespace: string;
  readonly podName: string;
  /** Empty for the sandbox. */
  readonly name: string;
  readonly attempt: number;
  readonly crashes: number;
  readonly ip: string | undefined;
  /** The id of the sandbox that it was made for. */
  readonly sandboxId?: string;
  /** It was made before it was known how the attempt before it ended. */
  readonly ahead?: true;
  /** On a sandbox that was made in advance: whose its address was before. The host name reaches those who join it late. */
  readonly warm?: string;
  /** The engine's stamps by the agent's steady clock: what decisions go by. */
  readonly at?: SteadyTimes;
  readonly is: RuntimeContainer;
}

/** Undefined for a container that carries no pod's labels. */
export function podContainerOf(is: RuntimeContainer): PodContainer | undefined {
  const { labels } = is;
  if (labels[label.kind] === 'warm') return takenSandbox(is);
  const uid = labels[label.uid];
  const kind = labels[label.kind];
  if (uid === undefined || !isContainerKind(kind)) return undefined;
  return {
    kind,
    uid,
    namespace: labels[label.namespace] ?? '',
    podName: labels[label.pod] ?? '',
    name: labels[label.container] ?? '',
    attempt: Number(labels[label.attempt] ?? 0),
    crashes: Number(labels[label.crashes] ?? 0),
    ip: labels[label.ip],
    ...(labels[label.sandbox] === undefined ? {} : { sandboxId: labels[label.sandbox] }),
    ...(labels[label.ahead] === undefined ? {} : { ahead: true as const }),
    is,
  };
}

/** Made ahead, and not started yet: it may never be. */
export const isMadeAhead = ({ ahead, is }: PodContainer): boolean =>
  ahead === true && is.state === 'created' && is.error === undefined;

const warmPrefix = 'troupe_WARM_';
export const warmName = (owner: string): string => `${warmPrefix}${owner}`;

/** A sandbox that was made in advance, and that no pod has taken. */
export const isIdleWarm = ({ labels, name }: RuntimeContainer): boolean =>
  labels[label.kind] === 'warm' && podOfName(name) === undefined;

/** The pod that has taken a sandbox, by the name that it gave it: labels cannot be changed. */
function podOfName(name: string): { podName: string; namespace: string; uid: string; attempt: number } | undefined {
  const found = /^troupe_SANDBOX_([^_]+)_([^_]*)_([^_]+)_(\d+)$/.exec(name);
  if (found === null) return undefined;
  const [, podName = '', namespace = '', uid = '', attempt] = found;
  return { podName, namespace, uid, attempt: Number(attempt) };
}

function takenSandbox(is: RuntimeContainer): PodContainer | undefined {
  const pod = podOfName(is.name);
  return pod === undefined
    ? undefined
    : { ...pod, kind: 'sandbox', name: '', crashes: 0, ip: is.labels[label.ip], warm: is.labels[label.warm] ?? '', is };
}

/** Whose container an event is about: undefined for one that has no pod. */
export const uidOf = (name: string, labels: Readonly<Record<string, string>>): string | undefined =>
  labels[label.uid] ?? (labels[label.kind] === 'warm' ? podOfName(name)?.uid : undefined);

export interface LabelInputs {
  readonly kind: ContainerKind;
  readonly container?: Container;
  readonly attempt: number;
  readonly crashes?: number;
  readonly ip?: string;
  readonly sandboxId?: string;
  readonly ahead?: boolean | undefined;
}

export const labelsFor = (pod: Pod, inputs: LabelInputs): Readonly<Record<string, string>> => ({
  [label.kind]: inputs.kind,
  [label.namespace]: pod.metadata.namespace ?? '',
  [label.pod]: pod.metadata.name,
  [label.uid]: pod.metadata.uid,
  [label.attempt]: String(inputs.attempt),
  ...(inputs.container === undefined ? {} : { [label.container]: inputs.container.name }),
  ...(inputs.crashes === undefined ? {} : { [label.crashes]: String(inputs.crashes) }),
  ...(inputs.ip === undefined ? {} : { [label.ip]: inputs.ip }),
  ...(inputs.sandboxId === undefined ? {} : { [label.sandbox]: inputs.sandboxId }),
  ...(inputs.ahead === true ? { [label.ahead]: 'true' } : {}),
});

/** Unique on the machine, and readable. The sandbox takes a name that no container can have. */
export function containerName(pod: Pod, container: string | undefined, attempt: number): string {
  const { name, namespace, uid } = pod.metadata;
  return ['troupe', container ?? 'SANDBOX', name, namespace ?? '', uid, String(attempt)].join('_');
}
