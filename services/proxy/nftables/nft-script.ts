import type { TableChanges } from '../table/diff.ts';
import { sameSources } from '../table/sources.ts';
import type { Backend, Frontend, Guard, ProxyTable, Target } from '../table/table.ts';
import {
  admittedElement,
  clientElement,
  frontendElement,
  guardedElement,
  localElement,
  slotElement,
  slotKey,
} from './elements.ts';
import { skeleton, type NftOptions } from './skeleton.ts';
import { SlotSpace, type SlotChange, type Slots } from './slots.ts';
import { countingRule, Transaction } from './transaction.ts';

/** A client that returns to a backend: what is kept when everything is written anew. */
export interface KnownClient {
  readonly target: string;
  readonly backend: Backend;
  readonly client: string;
  readonly expiresSeconds: number;
}

/** What is in the kernel as far as this process has written it; `skeleton.ts` draws it. */
export class NftProgram {
  readonly #options: NftOptions;
  #slots = new SlotSpace();
  /** How many frontends each address has. */
  #addresses = new Map<string, number>();
  /**
   * Numbers that nobody has any more and the kernel still knows: the next transaction takes them away. A packet that is being looked at while one takes
   * effect may follow the rules from before and find the elements from after: what the former rules count through must still be there. One
   * of their own would wait for the kernel to be through with the one before, tens of milliseconds.
   */
  #vacant = new Set<number>();

  constructor(options: NftOptions) {
    this.#options = options;
  }

  /** The transaction that makes exactly `table` so, in place of whatever our table held. */
  whole(table: ProxyTable, known: readonly KnownClient[] = []): Transaction {
    this.#slots = new SlotSpace();
    this.#addresses = new Map();
    this.#vacant.clear();
    const script = new Transaction(this.#options.table);
    script.begin(skeleton(this.#options));
    for (const target of table.targets.values()) this.#addTarget(script, target);
    for (const frontend of table.frontends.values()) this.#addFrontend(script, frontend);
    for (const ip of table.local) script.add('local', localElement(ip));
    for (const guard of table.guards.values()) addGuard(script, guard);
    for (const each of known) {
      const target = table.targets.get(each.target);
      if (target === undefined || target.affinitySeconds === 0 || !target.backends.includes(each.backend)) continue;
      const expires = Math.min(each.expiresSeconds, target.affinitySeconds);
      if (expires > 0) script.add(affinitySet(target, each.backend), { text: `${each.client} expires ${expires}s` });
    }
    return script;
  }

  /** The transaction that carries out `changes`. */
  changes(changes: TableChanges): Transaction {
    const script = new Transaction(this.#options.table);
    for (const slot of this.#vacant) script.delete('backends', slotKey(slot));
    this.#vacant = new Set();
    for (const frontend of changes.removedFrontends) this.#removeFrontend(script, frontend);
    for (const target of changes.addedTargets) this.#addTarget(script, target);
    for (const { before, after } of changes.changedTargets) this.#changeTarget(script, before, after);
    for (const frontend of changes.addedFrontends) this.#addFrontend(script, frontend);
    for (const target of changes.removedTargets) this.#removeTarget(script, target);
    for (const ip of changes.removedLocal) script.delete('local', localElement(ip));
    for (const ip of changes.addedLocal) script.add('local', localElement(ip));
    for (const guard of changes.removedGuards) removeGuard(script, guard);
    for (const guard of changes.addedGuards) addGuard(script, guard);
    for (const { before, after } of changes.changedGuards) changeGuard(script, before, after);
    return script;
  }

  #writeSlots(script: Transaction, changes: readonly SlotChange[]): void {
    for (const { slot, before, after } of changes) {
      if (after === undefined) {
        this.#vacant.add(slot);
        continue;
      }
      // A number that becomes vacant and is given out again in one transaction changes hands in it.
      if (this.#vacant.delete(slot) || before !== undefined) script.delete('backends', slotKey(slot));
      script.add('backends', slotElement(slot, after));
    }
  }

  #addTarget(script: Transaction, target: Target): void {
    const { slots, changes } = this.#slots.place(target);
    script.make('chain', chainOf(target.id));
    if (target.affinitySeconds > 0) for (const backend of target.backends) addAffinity(script, target, backend);
    addSources(script, target);
    script.write(chainOf(target.id), rulesOf(target, slots));
    this.#writeSlots(script, changes);
  }

  #changeTarget(script: Transaction, before: Target, after: Target): void {
    const former = this.#slots.get(after.id);
    const { slots, changes } = this.#slots.place(after);
    const hadAffinity = before.affinitySeconds > 0;
    const sameTimeout = before.affinitySeconds === after.affinitySeconds;
    if (after.affinitySeconds > 0) {
      for (const backend of after.backends) {
        if (!(sameTimeout && before.backends.includes(backend))) addAffinity(script, after, backend);
      }
    }
    const sameSet = sourcesSet(before) === sourcesSet(after);
    if (sameSet) changeSources(script, before, after);
    else addSources(script, after);
    const sameRange = former?.first === slots.first && former.backends.length === slots.backends.length;
    if (!(sameRange && sameTimeout && sameSet) || after.affinitySeconds > 0) {
      const simple = after.affinitySeconds === 0 && after.sources === undefined;
      if (simple) script.count(chainOf(after.id), slots.backends.length, slots.first);
      else script.rewrite(chainOf(after.id), rulesOf(after, slots));
    }
    this.#writeSlots(script, changes);
    if (!sameSet) removeSources(script, before);
    if (hadAffinity) {
      for (const backend of before.backends) {
        if (!(sameTimeout && after.backends.includes(backend))) script.remove('set', affinitySet(before, backend));
      }
    }
  }

  #removeTarget(script: Transaction, target: Target): void {
    this.#writeSlots(script, this.#slots.remove(target.id));
    script.remove('chain', chainOf(target.id));
    if (target.affinitySeconds > 0) for (const each of target.backends) script.remove('set', affinitySet(target, each));
    removeSources(script, target);
  }

  #addFrontend(script: Transaction, frontend: Frontend): void {
    const element = frontendElement(frontend, `jump ${chainOf(frontend.target)}`);
    if (frontend.address === '*') {
      script.add('node_ports', frontendElement(frontend));
      script.add('node_services', element);
      return;
    }
    if (frontend.inside === true) return script.add('inside_services', element);
    script.add('services', element);
    if (frontend.whole !== true) return script.add('external', frontendElement(frontend));
    const count = this.#addresses.get(frontend.address) ?? 0;
    this.#addresses.set(frontend.address, count + 1);
    if (count === 0) script.add('addresses', { text: frontend.address });
  }

  #removeFrontend(script: Transaction, frontend: Frontend): void {
    const element = frontendElement(frontend);
    if (frontend.address === '*') {
      script.delete('node_ports', element);
      script.delete('node_services', element);
      return;
    }
    if (frontend.inside === true) return script.delete('inside_services', element);
    script.delete('services', element);
    if (frontend.whole !== true) return script.delete('external', element);
    const count = this.#addresses.get(frontend.address) ?? 1;
    if (count > 1) this.#addresses.set(frontend.address, count - 1);
    else {
      this.#addresses.delete(frontend.address);
      script.delete('addresses', { text: frontend.address });
    }
  }
}

// ---- Targets ------------------------------------------------------------------------------------

/** Without backends there is no rule, no mark, and the connection is refused; so it is for those who may not connect. */
function rulesOf(target: Target, slots: Slots): string[] {
  const count = slots.backends.length;
  if (count === 0) return [];
  const set = sourcesSet(target);
  const admitted = set === undefined ? [] : [`ip saddr != @${set} return`];
  const next = countingRule(count, slots.first);
  if (target.affinitySeconds === 0) return [...admitted, next];
  const each = slots.backends.map((backend, i) => ({
    known: `@${affinitySet(target, backend)}`,
    slot: slots.first + i,
  }));
  return [
    ...admitted,
    ...each.map(({ known, slot }) => `ip saddr ${known} ct mark set ${slot}`),
    `ct mark 0 ${next}`,
    ...each.map(({ known, slot }) => `ct mark ${slot} update ${known} { ip saddr }`),
  ];
}

function addAffinity(script: Transaction, target: Target, backend: Backend): void {
  const type = `type ipv4_addr; flags dynamic,timeout; size 65536; timeout ${target.affinitySeconds}s;`;
  script.make('set', affinitySet(target, backend), ` { ${type} }`);
}

function addSources(script: Transaction, target: Target): void {
  const set = sourcesSet(target);
  if (set === undefined) return;
  script.make('set', set, set.startsWith('net/') ? ' { type ipv4_addr; flags interval; }' : ' { type ipv4_addr; }');
  for (const each of target.sources ?? []) script.add(set, clientElement(each));
}

function changeSources(script: Transaction, before: Target, after: Target): void {
  const set = sourcesSet(after);
  if (set === undefined || sameSources(before.sources, after.sources)) return;
  const [was, is] = [new Set(before.sources), new Set(after.sources)];
  for (const each of was) if (!is.has(each)) script.delete(set, clientElement(each));
  for (const each of is) if (!was.has(each)) script.add(set, clientElement(each));
}

function removeSources(script: Transaction, target: Target): void {
  const set = sourcesSet(target);
  if (set !== undefined) script.remove('set', set);
}

// ---- Guards -------------------------------------------------------------------------------------

function addGuard(script: Transaction, guard: Guard): void {
  script.add('guarded', guardedElement(guard));
  for (const client of guard.sources) script.add('admitted', admittedElement(guard, client));
}

function removeGuard(script: Transaction, guard: Guard): void {
  script.delete('guarded', guardedElement(guard));
  for (const client of guard.sources) script.delete('admitted', admittedElement(guard, client));
}

function changeGuard(script: Transaction, before: Guard, after: Guard): void {
  const [was, is] = [new Set(before.sources), new Set(after.sources)];
  for (const each of was) if (!is.has(each)) script.delete('admitted', admittedElement(before, each));
  for (const each of is) if (!was.has(each)) script.add('admitted', admittedElement(after, each));
}

// ---- Names, as a person would write them; nft takes slashes, dots and dashes ---------------------

export const chainOf = (target: string): string => `svc/${target}`;
export const targetOfChain = (chain: string): string | undefined =>
  chain.startsWith('svc/') ? chain.slice('svc/'.length) : undefined;

/** The set of those who may connect to a target; blocks need another kind of set than addresses. */
const sourcesSet = ({ id, sources }: Target): string | undefined =>
  sources === undefined ? undefined : `${sources.some((each) => each.includes('/')) ? 'net' : 'src'}/${id}`;

/** The target that a set of sources belongs to. */
export const targetOfSources = (set: string): string | undefined =>
  set.startsWith('src/') || set.startsWith('net/') ? set.slice('src/'.length) : undefined;

/** The set of clients that belong to a backend. The time-out is in the name because the kernel cannot change that of a set. */
const affinitySet = (target: Target, backend: Backend): string =>
  `aff/${target.id}/${backend.replace(':', '/')}/${target.affinitySeconds}`;

export function readAffinitySet(
  name: string,
): { readonly target: string; readonly backend: Backend; readonly seconds: number } | undefined {
  const found = /^aff\/(.+)\/([0-9.]+)\/([0-9]+)\/([0-9]+)$/.exec(name);
  if (found === null) return undefined;
  const [, target = '', ip = '', port = '', seconds = ''] = found;
  return { target, backend: `${ip}:${port}`, seconds: Number(seconds) };
}
