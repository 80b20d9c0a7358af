import { keyOf, type Key } from '../../lib/api/keys.ts';
import type { Labels, Node, Pod, Service, Taint } from '../../lib/api/objects.ts';
import {
  conditionOf,
  controllerOf,
  hostPortsOf,
  isDeleting,
  isTerminal,
  needsOf,
  type HostPort,
  type Needs,
} from '../../lib/api/pods.ts';
import { milliOf, unitsOf } from '../../lib/api/quantity.ts';
import { matchesMap } from '../../lib/api/labels.ts';
import { SelectorIndex } from '../../lib/api/selector-index.ts';
import { claimKeysOf, disksFolderAnnotation } from '../../lib/api/storage.ts';
import { diskAskOf, type DiskAsk, type DiskNode, type DiskViews } from './disks.ts';

/** What a pod asks of the node it goes to, worked out once. */
export interface Ask {
  readonly pod: Pod;
  readonly key: Key;
  readonly needs: Needs;
  readonly hostPorts: readonly HostPort[];
  /** Sets of pods that should not sit together: those of one controller, those behind one Service. */
  readonly groupIds: readonly string[];
  readonly claimKeys: readonly Key[];
  /** What its claims ask, as things stood when it was made; undefined for a pod without claims, and for one that has its node. */
  readonly disks: DiskAsk | undefined;
}

/** A node and the sum of what its pods take. Only `Cluster` changes one. */
export interface NodeState extends DiskNode {
  readonly ready: boolean;
  readonly unschedulable: boolean;
  /** `region/zone`; empty where the node has no such labels. */
  readonly zone: string;
  readonly hardTaints: readonly HardTaint[];
  readonly softTaints: readonly Taint[];
  readonly capacity: Needs;
  readonly used: Needs;
  readonly hostPorts: readonly HostPort[];
}
export interface HardTaint {
  readonly taint: Taint;
  /** Why a pod that does not tolerate it is refused. */
  readonly reason: string;
}

/** How many pods of one set are where. */
export interface Group {
  readonly byNode: ReadonlyMap<NodeState, number>;
  readonly byZone: ReadonlyMap<string, number>;
}

type Mutable<T> = { -readonly [F in keyof T]: T[F] };
type MutableNode = Mutable<Omit<NodeState, 'used' | 'hostPorts'>> & {
  used: Mutable<Needs>;
  hostPorts: HostPort[];
  /** False for a name that pods are bound to but that is not registered (any more). */
  registered: boolean;
  /** Pods counted in `used`. */
  tenants: number;
};
interface MutableGroup extends Group {
  readonly byNode: Map<NodeState, number>;
  readonly byZone: Map<string, number>;
}

/** A pod that takes room on a node, as it was counted. */
interface Tenant {
  ask: Ask;
  readonly node: MutableNode;
  /** Counted in its groups; a pod on its way out takes room but no longer counts for spreading. */
  readonly spread: boolean;
  /** Placed by us, not yet confirmed by the API. */
  assumed: boolean;
}

/**
 * The scheduler's picture of the cluster: sums per node and per group, kept current by each change so that placing a pod
 * never walks over the other pods. Not thread-safe, not async: whoever changes it does so between two decisions.
 */
export class Cluster {
  readonly #nodes = new Map<string, MutableNode>();
  readonly #tenants = new Map<Key, Tenant>();
  readonly #groups = new Map<string, MutableGroup>();
  readonly #services = new SelectorIndex();
  readonly #claimUsers = new Map<Key, Map<NodeState, number>>();
  readonly #disks: DiskViews | undefined;
  #order: readonly NodeState[] | undefined;

  /** Without views of disks pods with claims are placed as if they had none. */
  constructor(disks?: DiskViews) {
    this.#disks = disks;
  }

  /** Registered nodes, the zones taking turns, so that any stretch of it covers all zones. */
  get nodes(): readonly NodeState[] {
    return (this.#order ??= inTurns([...this.#nodes.values()].filter((node) => node.registered)));
  }

  /** A registered node by its name. */
  node(name: string): NodeState | undefined {
    const state = this.#nodes.get(name);
    return state?.registered === true ? state : undefined;
  }

  group(id: string): Group | undefined {
    return this.#groups.get(id);
  }

  /** Where a pod is counted, confirmed or assumed. */
  nodeOf(key: Key): string | undefined {
    return this.#tenants.get(key)?.node.name;
  }

  // ---- Nodes -----------------------------------------------------------------------------------

  /** Takes in a node's present state. True when a pod that fitted nowhere might fit now. */
  setNode(node: Node): boolean {
    const state = this.#state(node.metadata.name);
    const zone = zoneOf(node.metadata.labels);
    if (!state.registered || state.zone !== zone) this.#order = undefined;
    if (state.zone !== zone) this.#moveZone(state, zone);
    const before = { ...state };
    const taints = node.spec.taints ?? [];
    state.registered = true;
    state.ready = conditionOf(node.status, 'Ready')?.status === 'True';
    state.unschedulable = node.spec.unschedulable === true;
    state.labels = node.metadata.labels ?? {};
    state.zone = zone;
    state.hardTaints = taints.filter((taint) => taint.effect !== 'PreferNoSchedule').map(withReason);
    state.softTaints = taints.filter((taint) => taint.effect === 'PreferNoSchedule');
    state.capacity = capacityOf(node);
    state.hasDisks = (node.metadata.annotations?.[disksFolderAnnotation] ?? '') !== '';
    return mayHelp(before, state);
  }

  removeNode(name: string): void {
    const state = this.#nodes.get(name);
    if (state === undefined) return;
    state.registered = false;
    this.#order = undefined;
    this.#forgetIfUnused(state);
  }

  #state(name: string): MutableNode {
    let state = this.#nodes.get(name);
    if (state === undefined) {
      const none = { cpuMilli: 0, memoryBytes: 0, diskBytes: 0, pods: 0 };
      state = {
        name,
        registered: false,
        ready: false,
        unschedulable: false,
        labels: {},
        zone: '',
        hardTaints: [],
        softTaints: [],
        capacity: none,
        used: { ...none },
        hostPorts: [],
        hasDisks: false,
        tenants: 0,
      };
      this.#nodes.set(name, state);
    }
    return state;
  }

  #forgetIfUnused(state: MutableNode): void {
    if (!state.registered && state.tenants === 0) this.#nodes.delete(state.name);
  }

  #moveZone(state: MutableNode, zone: string): void {
    for (const { byNode, byZone } of this.#groups.values()) {
      const count = byNode.get(state) ?? 0;
      if (count === 0) continue;
      add(byZone, state.zone, -count);
      add(byZone, zone, count);
    }
  }

  // ---- Pods ------------------------------------------------------------------------------------

  /** Takes in a pod's present state. True when it made room. A pod that we assumed somewhere stays so until it is bound or forgotten. */
  setPod(pod: Pod): boolean {
    const key = keyOf(pod);
    const counted = this.#tenants.get(key);
    const nodeName = isTerminal(pod) ? undefined : pod.spec.nodeName;
    if (nodeName === undefined) {
      if (counted === undefined || (counted.assumed && isSame(counted, pod) && !isTerminal(pod))) return false;
      return this.removePod(key);
    }
    if (counted !== undefined && counted.node.name === nodeName && isSame(counted, pod)) {
      counted.assumed = false;
      counted.ask = { ...counted.ask, pod }; // the old object would stay in memory beside the view's
      return false;
    }
    const moved = this.removePod(key);
    this.#enter(this.ask(pod), nodeName, false);
    return moved && counted?.node.name !== nodeName;
  }

  /** True when the pod took room. */
  removePod(key: Key): boolean {
    const tenant = this.#tenants.get(key);
    if (tenant === undefined) return false;
    this.#tenants.delete(key);
    const { node, ask } = tenant;
    node.tenants -= 1;
    addNeeds(node.used, ask.needs, -1);
    if (ask.hostPorts.length > 0) node.hostPorts = node.hostPorts.filter((port) => !ask.hostPorts.includes(port));
    if (ask.claimKeys.length > 0) this.#countClaims(ask, node, -1);
    if (tenant.spread) for (const id of ask.groupIds) this.#count(id, node, -1);
    this.#forgetIfUnused(node);
    return true;
  }

  /** Counts a pod on a node before the API has confirmed it. The pod must not be counted anywhere yet. */
  assume(ask: Ask, nodeName: string): void {
    this.#enter(ask, nodeName, true);
  }

  /** Takes an assumption back; a pod that is bound by now stays. */
  forget(key: Key): void {
    if (this.#tenants.get(key)?.assumed === true) this.removePod(key);
  }

  ask(pod: Pod): Ask {
    const claimKeys = claimKeysOf(pod);
    return {
      pod,
      key: keyOf(pod),
      needs: needsOf(pod.spec),
      hostPorts: hostPortsOf(pod.spec),
      groupIds: this.#groupIdsOf(pod),
      claimKeys,
      disks: claimKeys.length === 0 || pod.spec.nodeName !== undefined ? undefined : this.disks(claimKeys),
    };
  }

  /** What these claims ask of a node now. */
  disks(claimKeys: readonly Key[]): DiskAsk | undefined {
    if (this.#disks === undefined) return undefined;
    const isAlive = (name: string): boolean => this.node(name)?.ready === true;
    return diskAskOf(claimKeys, this.#disks, (key) => this.#claimUsers.get(key), isAlive);
  }

  #countClaims(ask: Ask, node: MutableNode, by: number): void {
    for (const key of ask.claimKeys) {
      const users = this.#claimUsers.get(key) ?? new Map<NodeState, number>();
      add(users, node, by);
      if (users.size === 0) this.#claimUsers.delete(key);
      else this.#claimUsers.set(key, users);
    }
  }

  #enter(ask: Ask, nodeName: string, assumed: boolean): void {
    const node = this.#state(nodeName);
    const counted = ask.disks === undefined ? ask : { ...ask, disks: undefined }; // it was for choosing the node
    const spread = !isDeleting(ask.pod);
    this.#tenants.set(ask.key, { ask: counted, node, spread, assumed });
    node.tenants += 1;
    addNeeds(node.used, ask.needs, 1);
    if (ask.hostPorts.length > 0) node.hostPorts = [...node.hostPorts, ...ask.hostPorts];
    if (ask.claimKeys.length > 0) this.#countClaims(ask, node, 1);
    if (spread) for (const id of ask.groupIds) this.#count(id, node, 1);
  }

  #count(id: string, node: MutableNode, by: number): void {
    let group = this.#groups.get(id);
    if (group === undefined) this.#groups.set(id, (group = { byNode: new Map(), byZone: new Map() }));
    add(group.byNode, node, by);
    add(group.byZone, node.zone, by);
    if (group.byNode.size === 0) this.#groups.delete(id);
  }

  // ---- Services --------------------------------------------------------------------------------

  setService(service: Service): void {
    const namespace = service.metadata.namespace ?? '';
    if (this.#services.set(keyOf(service), namespace, service.spec.selector)) this.#regroup(namespace);
  }

  removeService(key: Key, namespace: string): void {
    if (this.#services.delete(key)) this.#regroup(namespace);
  }

  #groupIdsOf(pod: Pod): readonly string[] {
    const owner = controllerOf(pod)?.uid;
    const services = this.#services.matching(pod.metadata.namespace ?? '', pod.metadata.labels);
    const ids = services.map((key) => `service ${key}`);
    return owner === undefined ? ids : [`controller ${owner}`, ...ids];
  }

  /** A Service's selector changed, which is rare: file the pods of its namespace anew. */
  #regroup(namespace: string): void {
    for (const { ask, node, assumed } of [...this.#tenants.values()]) {
      if (ask.pod.metadata.namespace !== namespace) continue;
      this.removePod(ask.key);
      this.#enter(this.ask(ask.pod), node.name, assumed);
    }
  }
}

/** Nothing that is counted differs. Needs and ports of a pod never change after it was made. */
const isSame = ({ ask, spread }: Tenant, pod: Pod): boolean =>
  ask.pod.metadata.uid === pod.metadata.uid &&
  spread === !isDeleting(pod) &&
  controllerOf(ask.pod)?.uid === controllerOf(pod)?.uid &&
  sameLabels(ask.pod.metadata.labels ?? {}, pod.metadata.labels ?? {});

const sameLabels = (a: Labels, b: Labels): boolean =>
  a === b || (Object.keys(a).length === Object.keys(b).length && matchesMap(a, b));

function add<K>(counts: Map<K, number>, key: K, by: number): void {
  const next = (counts.get(key) ?? 0) + by;
  if (next === 0) counts.delete(key);
  else counts.set(key, next);
}

function addNeeds(sum: Mutable<Needs>, needs: Needs, sign: 1 | -1): void {
  sum.cpuMilli += sign * needs.cpuMilli;
  sum.memoryBytes += sign * needs.memoryBytes;
  sum.diskBytes += sign * needs.diskBytes;
  sum.pods += sign * needs.pods;
}

function capacityOf(node: Node): Needs {
  const has = node.status.allocatable ?? node.status.capacity ?? {};
  return {
    cpuMilli: milliOf(has['cpu'] ?? 0),
    memoryBytes: unitsOf(has['memory'] ?? 0),
    diskBytes: unitsOf(has['ephemeral-storage'] ?? 0),
    pods: unitsOf(has['pods'] ?? 0),
  };
}

const withReason = (taint: Taint): HardTaint => ({
  taint,
  reason: `with untolerated taint {${taint.key}${(taint.value ?? '') === '' ? '' : `=${taint.value}`}: ${taint.effect}}`,
});

function zoneOf(labels: Labels | undefined): string {
  const [region, zone] = [labels?.['topology.kubernetes.io/region'], labels?.['topology.kubernetes.io/zone']];
  return region === undefined && zone === undefined ? '' : `${region ?? ''}/${zone ?? ''}`;
}

/** Heartbeats change nodes all the time; only these changes can make a refused pod fit. */
function mayHelp(before: MutableNode, now: MutableNode): boolean {
  if (!now.ready) return false;
  return (
    !before.registered ||
    !before.ready ||
    (!before.hasDisks && now.hasDisks) ||
    (before.unschedulable && !now.unschedulable) ||
    now.capacity.cpuMilli > before.capacity.cpuMilli ||
    now.capacity.memoryBytes > before.capacity.memoryBytes ||
    now.capacity.diskBytes > before.capacity.diskBytes ||
    now.capacity.pods > before.capacity.pods ||
    !sameLabels(before.labels, now.labels) ||
    before.hardTaints.some(({ reason }) => !now.hardTaints.some((other) => other.reason === reason))
  );
}

function inTurns(nodes: readonly NodeState[]): readonly NodeState[] {
  const zones = new Map<string, NodeState[]>();
  for (const node of nodes.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const zone = zones.get(node.zone);
    if (zone === undefined) zones.set(node.zone, [node]);
    else zone.push(node);
  }
  const queues = [...zones].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, members]) => members);
  const longest = Math.max(0, ...queues.map((queue) => queue.length));
  return Array.from({ length: longest }, (_, turn) => queues.flatMap((queue) => queue[turn] ?? [])).flat();
}
