import type { Chain, SharedRule } from './chains.ts';

/** Collects what happens to one table of iptables in one go, in an order that `iptables-restore --noflush` accepts. */
export class RestoreTable {
  readonly #name: string;
  readonly #chains = new Map<string, readonly string[]>();
  readonly #lines: string[] = [];
  readonly #removed = new Set<string>();

  constructor(name: 'nat' | 'filter') {
    this.#name = name;
  }

  /** Makes a chain, or empties it, and gives it these rules. */
  write(chain: Chain): void {
    this.#chains.set(chain.name, chain.rules);
    this.#removed.delete(chain.name);
  }

  /** Takes a chain away, once nothing leads to it any more. */
  remove(chain: string): void {
    if (!this.#chains.has(chain)) this.#removed.add(chain);
  }

  put({ chain, rule, first }: SharedRule): void {
    this.#lines.push(first === true ? `-I ${chain} 1 ${rule}` : `-A ${chain} ${rule}`);
  }

  takeOut({ chain, rule }: Pick<SharedRule, 'chain' | 'rule'>): void {
    this.#lines.push(`-D ${chain} ${rule}`);
  }

  /** The table's part of a script; empty when nothing happens. */
  text(): string {
    const removals = [...this.#removed];
    const lines = [
      ...[...this.#chains.keys()].map((name) => `:${name} - [0:0]`),
      ...[...this.#chains].flatMap(([name, rules]) => rules.map((rule) => `-A ${name} ${rule}`)),
      ...this.#lines,
      ...removals.map((name) => `-F ${name}`),
      ...removals.map((name) => `-X ${name}`),
    ];
    return lines.length === 0 ? '' : `*${this.#name}\n${lines.join('\n')}\nCOMMIT\n`;
  }
}

/** Guards come before what they guard; the two tables take effect one after the other. */
export class RestoreScript {
  readonly nat = new RestoreTable('nat');
  readonly filter = new RestoreTable('filter');

  text(): string {
    return `${this.filter.text()}${this.nat.text()}`;
  }
}
