import type { TableChanges } from '../table/diff.ts';
import { frontendKey, type Frontend, type Guard, type ProxyTable, type Target } from '../table/table.ts';
import { ChainWriter, type Chain, type IptablesOptions, type Ruleset, type SharedRule } from './chains.ts';
import type { Listing } from './listing.ts';
import { RestoreScript } from './restore.ts';

/** What is in the kernel as far as this process has written it. */
export class IptablesProgram {
  readonly writer: ChainWriter;
  /** The frontends of each address, by `frontendKey`. */
  #addresses = new Map<string, Map<string, Frontend>>();

  constructor(options: IptablesOptions) {
    this.writer = new ChainWriter(options);
  }

  /** The script that makes exactly `table` so, in place of what `there` has of ours. */
  whole(table: ProxyTable, there: Listing): RestoreScript {
    this.#addresses = byAddress(table);
    const script = new RestoreScript();
    const wanted = this.ruleset(table);
    for (const name of ['nat', 'filter'] as const) {
      for (const chain of wanted[name]) script[name].write(chain);
      for (const chain of there[name].keys())
        if (chain.startsWith(`${this.writer.prefix}-`)) script[name].remove(chain);
    }
    for (const { table: name, chain, rule } of this.writer.hooks())
      if (there[name].get(chain)?.includes(rule) !== true) script[name].put({ chain, rule, first: true });
    return script;
  }

  /** The script that carries out `changes`: chains that stay as they are are not touched. */
  changes(changes: TableChanges): RestoreScript {
    const script = new RestoreScript();
    for (const target of changes.addedTargets) this.#rewrite(script, undefined, target);
    for (const { before, after } of changes.changedTargets) this.#rewrite(script, before, after);
    for (const target of changes.removedTargets) this.#rewrite(script, target, undefined);
    this.#changeFrontends(script, changes);
    for (const ip of changes.removedLocal) for (const rule of this.writer.localRules(ip)) script.nat.takeOut(rule);
    for (const ip of changes.addedLocal) for (const rule of this.writer.localRules(ip)) script.nat.put(rule);
    for (const guard of changes.removedGuards) {
      script.filter.takeOut(this.writer.guardRule(guard));
      script.filter.remove(this.writer.guardChain(guard).name);
    }
    for (const guard of changes.addedGuards) {
      script.filter.write(this.writer.guardChain(guard));
      script.filter.put(this.writer.guardRule(guard));
    }
    for (const { after } of changes.changedGuards) script.filter.write(this.writer.guardChain(after));
    return script;
  }

  /** The script that takes everything away that `there` has of ours. */
  nothing(there: Listing): RestoreScript {
    const script = new RestoreScript();
    for (const hook of this.writer.hooks())
      if (there[hook.table].get(hook.chain)?.includes(hook.rule) === true) script[hook.table].takeOut(hook);
    for (const name of ['nat', 'filter'] as const)
      for (const chain of there[name].keys())
        if (chain.startsWith(`${this.writer.prefix}-`)) script[name].remove(chain);
    return script;
  }

  ruleset(table: ProxyTable): Ruleset {
    const { writer } = this;
    const shared = new Map<string, SharedRule[]>();
    const put = (rule: SharedRule): void => {
      const rules = shared.get(rule.chain);
      if (rules === undefined) shared.set(rule.chain, [rule]);
      else rules.push(rule);
    };
    const addresses = byAddress(table);
    for (const address of addresses.keys()) put(writer.dispatchRule(address));
    for (const frontend of table.frontends.values())
      if (frontend.address === '*') writer.nodePortRules(frontend).forEach(put);
    for (const ip of table.local) writer.localRules(ip).forEach(put);
    for (const guard of table.guards.values()) put(writer.guardRule(guard));
    const complete = ({ name, rules }: Chain): Chain => {
      const all = shared.get(name) ?? [];
      const first = all.filter((each) => each.first === true).map(({ rule }) => rule);
      const last = all.filter((each) => each.first !== true).map(({ rule }) => rule);
      return { name, rules: [...first.reverse(), ...rules, ...last] };
    };
    return {
      nat: [
        ...writer.natChains().map(complete),
        ...[...addresses].map(([address, own]) => writer.addressChain(address, [...own.values()])),
        ...[...table.targets.values()].flatMap((target) => writer.targetChains(target)),
      ],
      filter: [
        ...writer.filterChains().map(complete),
        ...[...table.guards.values()].map((guard: Guard) => writer.guardChain(guard)),
      ],
    };
  }

  #rewrite(script: RestoreScript, before: Target | undefined, after: Target | undefined): void {
    const old = new Map(before === undefined ? [] : chainsOf(this.writer.targetChains(before)));
    for (const chain of after === undefined ? [] : this.writer.targetChains(after)) {
      if (!sameRules(old.get(chain.name), chain.rules)) script.nat.write(chain);
      old.delete(chain.name);
    }
    for (const name of old.keys()) script.nat.remove(name);
  }

  #changeFrontends(script: RestoreScript, changes: TableChanges): void {
    const touched = new Map<string, Map<string, Frontend>>();
    const at = (address: string): Map<string, Frontend> => {
      const known = touched.get(address) ?? new Map(this.#addresses.get(address));
      touched.set(address, known);
      return known;
    };
    for (const frontend of changes.removedFrontends) {
      if (frontend.address === '*') for (const rule of this.writer.nodePortRules(frontend)) script.nat.takeOut(rule);
      else at(frontend.address).delete(frontendKey(frontend));
    }
    for (const frontend of changes.addedFrontends) {
      if (frontend.address === '*') for (const rule of this.writer.nodePortRules(frontend)) script.nat.put(rule);
      else at(frontend.address).set(frontendKey(frontend), frontend);
    }
    for (const [address, frontends] of touched) {
      const was = this.#addresses.has(address);
      const chain = this.writer.addressChain(address, [...frontends.values()]);
      if (frontends.size === 0) {
        this.#addresses.delete(address);
        if (was) script.nat.takeOut(this.writer.dispatchRule(address));
        if (was) script.nat.remove(chain.name);
        continue;
      }
      this.#addresses.set(address, frontends);
      script.nat.write(chain);
      if (!was) script.nat.put(this.writer.dispatchRule(address));
    }
  }
}

function byAddress(table: ProxyTable): Map<string, Map<string, Frontend>> {
  const addresses = new Map<string, Map<string, Frontend>>();
  for (const [key, frontend] of table.frontends) {
    if (frontend.address === '*') continue;
    const own = addresses.get(frontend.address);
    if (own === undefined) addresses.set(frontend.address, new Map([[key, frontend]]));
    else own.set(key, frontend);
  }
  return addresses;
}

const chainsOf = (chains: readonly Chain[]): (readonly [string, readonly string[]])[] =>
  chains.map(({ name, rules }) => [name, rules]);

const sameRules = (a: readonly string[] | undefined, b: readonly string[]): boolean =>
  a?.length === b.length && a.every((rule, i) => rule === b[i]);
