import { listedName } from '../api/image-reference.ts';
import { keyOf, type Key } from '../api/keys.ts';
import type { Node, Pod, Service } from '../api/objects.ts';
import {
  conditionOf,
  controllerOf,
  hostPortsOf,
  isDeleting,
  isTerminal,
  needsOf,
  type HostPort,
  type Needs,
} from '../api/pods.ts';
import { SelectorIndex } from '../api/selector-index.ts';
import { claimKeysOf, disksFolderAnnotation } from '../api/storage.ts';
import { diskAskOf, type DiskAsk, type DiskViews } from './disks.ts';
import {
  addNeeds,
  asksForNothing,
  capacityOf,
  hasNoneToSpare,
  imagesOf,
  inTurns,
  mayHelp,
  sameLabels,
  taintsOf,
  withReason,
  zoneOf,
  type Measured,
  type NodeState,
} from './node-facts.ts';
import { rulesOf, type Rules } from './rules.ts';
import { Tallies, type Counted } from './tallies.ts';

export type { NodeState } from './node-facts.ts';

/** What a pod asks of the node it goes to, worked out once. */
export interface Ask {
  readonly pod: Pod;
  readonly key: Key;
  readonly needs: Needs;
  readonly hostPorts: readonly HostPort[];
  /** Sets of pods that should not sit together: those of one controller, those behind one Service. */
  readonly groupIds: readonly string[];
  /** Its affinity and its spreading; undefined for a pod without. */
  readonly rules: Rules | undefined;
  readonly claimKeys: readonly Key[];
  /** Its containers' images as engines list them; empty where no node says what it holds. */
  readonly images: readonly string[];
  /** What its claims ask, as things stood when it was made; undefined for a pod without claims, and for one that has its node. */
  readonly disks: DiskAsk | undefined;
}

/** A pod that takes room on a node. */
export interface Occupant {
  readonly ask: Ask;
  /** Placed by us, not yet confirmed by the API. */
  readonly assumed: boolean;
}

/** How many pods of one set are where. */
export interface Group {
  readonly byNode: ReadonlyMap<NodeState, number>;
  readonly byZone: ReadonlyMap<string, number>;
}

type Mutable<T> = { -readonly [F in keyof T]: T[F] };
type MutableNode = Mutable<Omit<NodeState, 'used' | 'hostPorts' | 'unmeasured'>> & {
  used: Mutable<Needs>;
  hostPorts: HostPort[];
  unmeasured: number;
  /** Pods that ask for nothing: since the last measure, and between that and the one before. */
  fresh: Set<Key>;
  older: Set<Key>;
  /** False for a name that pods are bound to but that is not registered (any more). */
  registered: boolean;
  /** Pods counted in `used`, and those that room is kept for. */
  readonly tenants: Map<Key, Tenant | Kept>;
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

/** A pod without a node for which room is kept on one (`status.nominatedNodeName`): its needs and ports count there, it itself does not. */
interface Kept {
  readonly ask: Ask;
  readonly node: MutableNode;
}

/**
 * The scheduler's picture of the cluster: sums per node and per group, kept current by each change so that placing a pod
 * never walks over the other pods. Not thread-safe, not async: whoever changes it does so between two decisions.
 */
export class Cluster {
  readonly #nodes = new Map<string, MutableNode>();
  readonly #tenants = new Map<Key, Tenant>();
  readonly #kept = new Map<Key, Kept>();
  /** How many pods that take room have which priority. */
  readonly #priorities = new Map<number, number>();
  readonly #groups = new Map<string, MutableGroup>();
  readonly #services = new SelectorIndex();
  readonly tallies = new Tallies<NodeState>(() => this.#counted());
  readonly #claimUsers = new Map<Key, Map<NodeState, number>>();
  readonly #disks: DiskViews | undefined;
  #knowsImages = false;
  #order: readonly NodeState[] | undefined;

  /** Without views of disks pods with claims are placed as if they had none. */
  constructor(disks?: DiskViews) {
    this.#disks = disks;
  }

  /** Registered nodes, the zones taking turns, so that any stretch of it covers all zones. Another array whenever labels or taints differ. */
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

  /** The pods on a node, those not yet confirmed included. */
  occupantsOf(node: string): readonly Occupant[] {
    return [...(this.#nodes.get(node)?.tenants.values() ?? [])].filter((each) => 'assumed' in each);
  }

  /** Whether any pod that takes room has a lower priority. */
  hasBelow(priority: number): boolean {
    for (const each of this.#priorities.keys()) if (each < priority) return true;
    return false;
  }

  // ---- Nodes -----------------------------------------------------------------------------------

  /** Takes in a node's present state. True when a pod that fitted nowhere might fit now. */
  setNode(node: Node): boolean {
    const state = this.#state(node.metadata.name);
    const zone = zoneOf(node.metadata.labels);
    const labels = node.metadata.labels ?? {};
    const isRelabelled = !state.registered || !sameLabels(state.labels, labels);
    if (isRelabelled || state.zone !== zone) this.#order = undefined;
    if (state.zone !== zone) this.#moveZone(state, zone);
    const before = { ...state };
    const taints = node.spec.taints ?? [];
    state.registered = true;
    state.ready = conditionOf(node.status, 'Ready')?.status === 'True';
    state.unschedulable = node.spec.unschedulable === true;
    state.labels = labels;
    if (isRelabelled) this.tallies.forgetDomains();
    state.zone = zone;
    state.hardTaints = taints.filter((taint) => taint.effect !== 'PreferNoSchedule').map(withReason);
    state.softTaints = taints.filter((taint) => taint.effect === 'PreferNoSchedule');
    state.capacity = capacityOf(node);
    state.images = imagesOf(node);
    this.#knowsImages ||= state.images !== undefined;
    state.hasDisks = (node.metadata.annotations?.[disksFolderAnnotation] ?? '') !== '';
    if (taintsOf(before) !== taintsOf(state)) this.#order = this.#order?.slice();
    return mayHelp(before, state);
  }

  /** What a node says that it has left; undefined: nothing that could be believed. True when a pod that fitted nowhere might fit now. */
  setRoom(name: string, measured: Measured | undefined): boolean {
    const state = this.#nodes.get(name);
    if (state === undefined) return false; // what is said of a node before it is registered is said again
    const wasShort = hasNoneToSpare(state);
    state.measured = measured;
    [state.older, state.fresh] = measured === undefined ? [new Set(), new Set()] : [state.fresh, new Set()];
    state.unmeasured = state.older.size;
    return wasShort && !hasNoneToSpare(state);
  }

  /** Pods that ask for nothing take room that no sum shows until the node measures it. */
  #reckon({ ask, node }: Tenant, by: 1 | -1): void {
    if (node.measured === undefined || !asksForNothing(ask)) return;
    if (by === 1) node.fresh.add(ask.key);
    else if (!node.fresh.delete(ask.key)) node.older.delete(ask.key);
    node.unmeasured = node.fresh.size + node.older.size;
  }

  removeNode(name: string): void {
    const state = this.#nodes.get(name);
    if (state === undefined) return;
    state.registered = false;
    state.labels = {}; // pods that are left on it are near to nobody
    this.tallies.forgetDomains();
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
        images: undefined,
        measured: undefined,
        unmeasured: 0,
        fresh: new Set(),
        older: new Set(),
        tenants: new Map(),
      };
      this.#nodes.set(name, state);
    }
    return state;
  }

  #forgetIfUnused(state: MutableNode): void {
    if (!state.registered && state.tenants.size === 0) this.#nodes.delete(state.name);
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
    const freed = this.#keepAsTold(key, pod, nodeName);
    if (nodeName === undefined) {
      if (counted === undefined || (counted.assumed && isSame(counted, pod) && !isTerminal(pod))) return freed;
      return this.#leave(key) !== undefined || freed;
    }
    if (counted !== undefined && counted.node.name === nodeName && isSame(counted, pod)) {
      counted.assumed = false;
      counted.ask = { ...counted.ask, pod }; // the old object would stay in memory beside the view's
      return freed;
    }
    const moved = this.#leave(key) !== undefined;
    this.#enter(this.ask(pod), nodeName, false);
    return freed || (moved && counted?.node.name !== nodeName);
  }

  /** True when the pod took room, or room was kept for it. */
  removePod(key: Key): boolean {
    const wasKept = this.#release(key);
    return this.#leave(key) !== undefined || wasKept;
  }

  #leave(key: Key): Tenant | undefined {
    const tenant = this.#tenants.get(key);
    if (tenant === undefined) return undefined;
    this.#tenants.delete(key);
    const { node, ask } = tenant;
    this.#occupy(tenant, -1);
    this.#reckon(tenant, -1);
    add(this.#priorities, priorityOf(ask.pod), -1);
    if (ask.claimKeys.length > 0) this.#countClaims(ask, node, -1);
    if (tenant.spread) for (const id of ask.groupIds) this.#count(id, node, -1);
    this.#tally(tenant, -1);
    this.#forgetIfUnused(node);
    return tenant;
  }

  /** Puts a pod on a node, or room for one, into what is used there (1), or takes it out (-1). */
  #occupy(tenant: Tenant | Kept, by: 1 | -1): void {
    const { node, ask } = tenant;
    if (by === 1) node.tenants.set(ask.key, tenant);
    else node.tenants.delete(ask.key);
    addNeeds(node.used, ask.needs, by);
    if (ask.hostPorts.length === 0) return;
    node.hostPorts =
      by === 1 ? [...node.hostPorts, ...ask.hostPorts] : node.hostPorts.filter((port) => !ask.hostPorts.includes(port));
  }

  /** Takes a pod out of the picture for a moment, to see what would be without it; what is returned puts it back. */
  suppose(key: Key): () => void {
    const tenant = this.#leave(key);
    return () => {
      if (tenant !== undefined) this.#enterAs(tenant);
    };
  }

  // ---- Room that is kept -----------------------------------------------------------------------

  /** Keeps room on a node for a pod that has none yet, instead of where it was kept before; undefined: nowhere. */
  keep(ask: Ask, nodeName: string | undefined): void {
    this.#release(ask.key);
    if (nodeName === undefined || nodeName === '') return;
    const kept = { ask, node: this.#state(nodeName) };
    this.#kept.set(ask.key, kept);
    this.#occupy(kept, 1);
  }

  /** The pods for which room is kept on a node. */
  keptOn(nodeName: string): readonly Key[] {
    return [...this.#kept.values()].filter(({ node }) => node.name === nodeName).map(({ ask }) => ask.key);
  }

  /** Lets a pod take the room that is kept for it and for those of lower priority, until what is returned is called. */
  yieldTo(pod: Pod): () => void {
    if (this.#kept.size === 0) return () => undefined;
    const own = keyOf(pod);
    const priority = priorityOf(pod);
    const yielding = [...this.#kept.values()].filter(({ ask }) => ask.key === own || priorityOf(ask.pod) < priority);
    for (const kept of yielding) this.#occupy(kept, -1);
    return () => {
      for (const kept of yielding) if (this.#kept.get(kept.ask.key) === kept) this.#occupy(kept, 1);
    };
  }

  #release(key: Key): boolean {
    const kept = this.#kept.get(key);
    if (kept === undefined) return false;
    this.#kept.delete(key);
    if (kept.node.tenants.get(key) === kept) this.#occupy(kept, -1);
    this.#forgetIfUnused(kept.node);
    return true;
  }

  /** Room is kept as the pod's status says, whichever scheduler wrote it, until the pod has a node. True when some was given up elsewhere. */
  #keepAsTold(key: Key, pod: Pod, nodeName: string | undefined): boolean {
    const wanted =
      nodeName !== undefined || isTerminal(pod) || isDeleting(pod) || this.#tenants.get(key)?.assumed === true
        ? ''
        : (pod.status.nominatedNodeName ?? '');
    const before = this.#kept.get(key)?.node.name ?? '';
    if (before !== wanted) this.keep(this.ask(pod), wanted);
    return before !== '' && before !== wanted && before !== nodeName;
  }

  /** Counts a pod on a node before the API has confirmed it. The pod must not be counted anywhere yet. */
  assume(ask: Ask, nodeName: string): void {
    this.#release(ask.key);
    this.#enter(ask, nodeName, true);
  }

  /** Takes an assumption back; a pod that is bound by now stays. */
  forget(key: Key): void {
    const tenant = this.#tenants.get(key);
    if (tenant?.assumed !== true) return;
    this.#leave(key);
    this.#keepAsTold(key, tenant.ask.pod, undefined);
  }

  ask(pod: Pod): Ask {
    const claimKeys = claimKeysOf(pod);
    return {
      pod,
      key: keyOf(pod),
      needs: needsOf(pod.spec),
      hostPorts: hostPortsOf(pod.spec),
      groupIds: this.#groupIdsOf(pod),
      rules: rulesOf(pod),
      claimKeys,
      images: this.#knowsImages ? pod.spec.containers.map(({ image }) => listedName(image)) : none,
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
    this.#enterAs({ ask: counted, node, spread, assumed });
  }

  #enterAs(tenant: Tenant): void {
    const { ask, node, spread } = tenant;
    this.#tenants.set(ask.key, tenant);
    this.#tally(tenant, 1);
    this.#occupy(tenant, 1);
    this.#reckon(tenant, 1);
    add(this.#priorities, priorityOf(ask.pod), 1);
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

  #tally(tenant: Tenant, by: 1 | -1): void {
    if (this.tallies.countsAll || tenant.ask.rules !== undefined) this.tallies.count(countedOf(tenant), by);
  }

  *#counted(): Iterable<Counted<NodeState>> {
    for (const tenant of this.#tenants.values()) yield countedOf(tenant);
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
      this.#leave(ask.key);
      this.#enter(this.ask(ask.pod), node.name, assumed);
    }
  }
}

const none: readonly never[] = [];

/** None counts as 0. */
export const priorityOf = ({ spec }: Pod): number => spec.priority ?? 0;

const countedOf = ({ ask, node, spread }: Tenant): Counted<NodeState> => ({
  key: ask.key,
  namespace: ask.pod.metadata.namespace ?? '',
  labels: ask.pod.metadata.labels,
  rules: ask.rules,
  node,
  staying: spread,
});

/** Nothing that is counted differs. Needs and ports of a pod never change after it was made. */
const isSame = ({ ask, spread }: Tenant, pod: Pod): boolean =>
  ask.pod.metadata.uid === pod.metadata.uid &&
  spread === !isDeleting(pod) &&
  controllerOf(ask.pod)?.uid === controllerOf(pod)?.uid &&
  sameLabels(ask.pod.metadata.labels ?? {}, pod.metadata.labels ?? {});

function add<K>(counts: Map<K, number>, key: K, by: number): void {
  const next = (counts.get(key) ?? 0) + by;
  if (next === 0) counts.delete(key);
  else counts.set(key, next);
}
