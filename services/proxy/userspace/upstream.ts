import { setMaxListeners } from 'node:events';
import { parsePolicyOptions } from '../../../lib/api/carriage.ts';
import { messageOf } from '../../../lib/base/errors.ts';
import type { Clock } from '../../../lib/base/clock.ts';
import type { Log } from '../../../lib/base/log.ts';
import type { Endpoints, EndpointAddress } from '../../../lib/api/objects.ts';
import type { Backend, Target } from '../table/table.ts';
import { admitting, sameSources } from '../table/sources.ts';
import { ClientAffinity, RoundRobin } from './policy/built-in.ts';
import type { Choice, ChoosingPolicy, PolicyBackend, PolicyService, ServingPolicy } from './policy/policy.ts';
import type { Policies } from './policy/registry.ts';
import { Tally } from './tally.ts';

export interface UpstreamOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly policies: Policies;
  readonly nodeName: string;
  /** What is known of the endpoints of a Service (`namespace/name`), for policies. */
  readonly endpoints: (service: string) => Endpoints | undefined;
}

/** Something that a backend has open: told when the backend is one no longer. */
export interface Use {
  /** It left in a planned way: nothing new goes there; what is under way may end. */
  left(): void;
  /** It is dead: end at once. */
  cut(): void;
}

/** A backend cut by mistake, or that its death has not yet taken out of the table, is one again after this time. */
const cutMs = 3_000;

/** One backend of a service port, with what it has open. */
export class Member implements PolicyBackend {
  readonly address: Backend;
  readonly ip: string;
  readonly port: number;
  readonly uses = new Set<Use>();
  active = 0;
  tally = new Tally();
  /** Whether it is one of its port's backends. */
  here = true;
  /** Until when nothing is sent to it; 0: now it may be. */
  cutUntilMs = 0;
  readonly #facts: () => { readonly at: EndpointAddress | undefined; readonly nodeName: string };

  constructor(address: Backend, facts: () => { readonly at: EndpointAddress | undefined; readonly nodeName: string }) {
    this.address = address;
    const colon = address.lastIndexOf(':');
    this.ip = address.slice(0, colon);
    this.port = Number(address.slice(colon + 1));
    this.#facts = facts;
  }

  get local(): boolean {
    const { at, nodeName } = this.#facts();
    return at?.nodeName === nodeName;
  }
  get nodeName(): string | undefined {
    return this.#facts().at?.nodeName;
  }
  get hostname(): string | undefined {
    return this.#facts().at?.hostname;
  }
  get pod(): string | undefined {
    const ref = this.#facts().at?.targetRef;
    return ref?.kind === 'Pod' ? `${ref.namespace ?? ''}/${ref.name ?? ''}` : undefined;
  }
}

/** The backends of one service port with the policy that chooses among them. Lives as long as the port, whatever comes and goes. */
export class Upstream {
  readonly #options: UpstreamOptions;
  #target: Target;
  #members = new Map<Backend, Member>();
  /** Those that left, with something open still. */
  readonly #leaving = new Set<Member>();
  /** Those that may be chosen, in the order of their addresses. */
  #able: Member[] = [];
  /** One of them, or neither where there is a fault. */
  #choosing: ChoosingPolicy | undefined;
  #serving: ServingPolicy | undefined;
  #fault: string | undefined;
  /** Absent: everybody may connect. */
  #admits: ((ip: string) => boolean) | undefined;
  readonly gone = new Tally();
  /** Clients that wait for a backend now. */
  waiting = 0;
  /** Called once, when there is a backend to choose. */
  readonly #onAble = new Set<() => void>();
  readonly #closing = new AbortController();

  constructor(target: Target, options: UpstreamOptions) {
    this.#options = options;
    this.#target = target;
    setMaxListeners(0, this.#closing.signal); // each client listens that waits, or that a policy serves
    this.#admits = target.sources === undefined ? undefined : admitting(target.sources);
    this.#makePolicy();
    this.#enter();
  }

  get target(): Target {
    return this.#target;
  }

  /** `namespace/name` of its Service. */
  get service(): string {
    return this.#target.id.split('/', 2).join('/');
  }

  get members(): readonly Member[] {
    return this.#able;
  }

  /** Whether a client at this address may connect. */
  admits(client: string): boolean {
    return this.#admits === undefined || this.#admits(client);
  }

  /** Why nothing can be carried, where that is the case: the policy cannot be had. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** The policy that takes whole connections over, where there is one. */
  get serving(): ServingPolicy | undefined {
    return this.#serving;
  }

  /** Aborted when the port is one no longer. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** While there is no backend, a client may wait for one so long; undefined: it is refused at once. Policies that serve wait by themselves. */
  get holdMs(): number | undefined {
    const seconds = this.#serving === undefined ? this.#target.carriage?.holdSeconds : undefined;
    return seconds === undefined ? undefined : seconds * 1000;
  }

  /** Calls once, as soon as there is a backend to choose. Answers with what takes that back. */
  onAble(listener: () => void): () => void {
    this.#onAble.add(listener);
    return () => void this.#onAble.delete(listener);
  }

  told(): { id: string; backends: Iterable<Member>; gone: Tally; waiting: number } {
    return { id: this.#target.id, backends: this.#members.values(), gone: this.gone, waiting: this.waiting };
  }

  /** Takes effect at once: whoever left is not chosen from here on, and its uses are told. */
  update(target: Target): void {
    const before = this.#target;
    this.#target = target;
    const asked = (each: Target): string =>
      `${each.affinitySeconds} ${each.carriage?.policy} ${each.carriage?.policyOptions}`;
    if (asked(before) !== asked(target)) this.#makePolicy();
    if (!sameSources(before.sources, target.sources))
      this.#admits = target.sources === undefined ? undefined : admitting(target.sources);
    const wanted = new Set(target.backends);
    const left = [...this.#members.values()].filter(({ address }) => !wanted.has(address));
    for (const member of left) {
      this.#members.delete(member.address);
      member.here = false;
      this.gone.add(member.tally);
      member.tally = this.gone;
      if (member.uses.size > 0) this.#leaving.add(member);
    }
    for (const member of this.#leaving) if (member.uses.size === 0) this.#leaving.delete(member);
    this.#enter();
    for (const member of left) for (const use of [...member.uses]) use.left();
  }

  /** The port is one no longer: every backend leaves, and who takes connections over is told. */
  close(): void {
    this.update({ ...this.#target, backends: [] });
    this.#closing.abort(new Error(`${this.#target.id} is no service port any more`));
  }

  /** Ends what the backends at these addresses have open, and chooses them no more, until they leave or 3 s have passed. */
  cut(ips: ReadonlySet<string>): void {
    const struck = [...this.#members.values(), ...this.#leaving].filter(({ ip }) => ips.has(ip));
    if (struck.length === 0) return;
    const { clock } = this.#options;
    for (const member of struck) member.cutUntilMs = clock.monotonic() + cutMs;
    this.#refresh();
    for (const member of struck) for (const use of [...member.uses]) use.cut();
    clock.after(cutMs, () => {
      for (const member of struck) if (clock.monotonic() >= member.cutUntilMs) member.cutUntilMs = 0;
      this.#refresh();
    });
  }

  /** The backend to try next, without those tried already; undefined when there is none, or the policy wants none. */
  choose(what: Choice, tried?: ReadonlySet<Member>): Member | undefined {
    const able = tried === undefined || tried.size === 0 ? this.#able : this.#able.filter((each) => !tried.has(each));
    if (able.length === 0) return undefined;
    try {
      const chosen = this.#choosing?.choose(what, able);
      return chosen instanceof Member && chosen.here ? chosen : undefined;
    } catch (error) {
      this.#tell('the policy failed', error);
      return undefined;
    }
  }

  /** The backend could be had. */
  chose(what: Choice, member: Member): void {
    try {
      this.#choosing?.chosen?.(what, member);
    } catch (error) {
      this.#tell('the policy failed', error);
    }
  }

  #enter(): void {
    for (const address of this.#target.backends)
      if (!this.#members.has(address)) this.#members.set(address, this.#newMember(address));
    this.#refresh();
  }

  #refresh(): void {
    this.#able = this.#target.backends.flatMap((address) => {
      const member = this.#members.get(address);
      return member === undefined || member.cutUntilMs > 0 ? [] : [member];
    });
    if (this.#able.length === 0 || this.#onAble.size === 0) return;
    const listeners = [...this.#onAble];
    this.#onAble.clear();
    for (const listener of listeners) listener();
  }

  #newMember(address: Backend): Member {
    const { endpoints, nodeName } = this.#options;
    const ip = address.slice(0, address.lastIndexOf(':'));
    const service = this.service;
    return new Member(address, () => ({ at: addressIn(endpoints(service), ip), nodeName }));
  }

  #makePolicy(): void {
    const { carriage } = this.#target;
    this.#fault = this.#choosing = this.#serving = undefined;
    if (carriage?.policy === undefined) {
      this.#choosing = this.#withAffinity(new RoundRobin());
      return;
    }
    const make = this.#options.policies.get(carriage.policy);
    if (make === undefined) {
      const known = [...this.#options.policies.keys()].join(', ');
      this.#fault = `no policy "${carriage.policy}" here, there are ${known}; --policy-module loads others`;
      return;
    }
    try {
      const made = make(this.#policyService(carriage.policyOptions));
      if ('serve' in made && typeof made.serve === 'function') this.#serving = made;
      else if ('choose' in made && typeof made.choose === 'function') this.#choosing = this.#withAffinity(made);
      else throw new Error('it has neither choose nor serve');
    } catch (error) {
      this.#fault = `policy "${carriage.policy}" could not be made: ${messageOf(error)}`;
    }
  }

  /** A Service that wants affinity gets it whoever chooses for newcomers. */
  #withAffinity(policy: ChoosingPolicy): ChoosingPolicy {
    const { affinitySeconds } = this.#target;
    return affinitySeconds === 0 ? policy : new ClientAffinity(affinitySeconds, this.#options.clock, policy);
  }

  #policyService(options: string): PolicyService {
    const [namespace = '', name = '', , port = '0'] = this.#target.id.split('/');
    return {
      ...{ namespace, name, port: Number(port), options: parsePolicyOptions(options) },
      log: (message, facts = {}) => this.#options.log.info({ ...facts, service: this.service }, message),
    };
  }

  #tell(message: string, error: unknown): void {
    this.#options.log.warn({ error, target: this.#target.id, policy: this.#target.carriage?.policy }, message);
  }
}

const byIp = new WeakMap<Endpoints, ReadonlyMap<string, EndpointAddress>>();

function addressIn(endpoints: Endpoints | undefined, ip: string): EndpointAddress | undefined {
  if (endpoints === undefined) return undefined;
  let known = byIp.get(endpoints);
  if (known === undefined) {
    const all = (endpoints.subsets ?? []).flatMap(({ addresses = [], notReadyAddresses = [] }) => [
      ...addresses,
      ...notReadyAddresses,
    ]);
    byIp.set(endpoints, (known = new Map(all.map((address) => [address.ip, address]))));
  }
  return known.get(ip);
}
