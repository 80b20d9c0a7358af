import { createHash } from 'node:crypto';
import { keepBase, masqueradeBase } from '../kernel/marks.ts';
import type { Backend, Frontend, Guard, Target } from '../table/table.ts';

/**
 * The rules of single things, in the very words of `iptables-save`, so that what is there can be compared with what should be.
 *
 *   PREROUTING, OUTPUT ─► DISPATCH ─► A (an address) ─► S (a service port) ─► [X: who may connect] ─► [E: an endpoint] ─► DNAT
 *                              └────► NODES (node ports) ─┘      what comes back from there is marked for REJECT
 *
 * `statistic --mode nth` counts through a service port's endpoints exactly; `recent` remembers which one a client had.
 */
export interface IptablesOptions {
  /** Two proxies on one machine have two. */
  readonly table: string;
  /** Senders outside it are hidden from backends on other nodes, and not held off by guards; empty: nobody is hidden, and guards are for all. */
  readonly clusterCidr: string;
}

export interface Chain {
  readonly name: string;
  readonly rules: readonly string[];
}

/** All chains with all rules that amount to a table. */
export interface Ruleset {
  readonly nat: readonly Chain[];
  readonly filter: readonly Chain[];
}

/** A rule of a chain that many share, put in and taken out by itself. */
export interface SharedRule {
  readonly chain: string;
  readonly rule: string;
  /** Before all others, instead of after them. */
  readonly first?: true;
}

export class ChainWriter {
  readonly #options: IptablesOptions;
  readonly prefix: string;

  constructor(options: IptablesOptions) {
    this.#options = options;
    this.prefix = `TRP${digest(options.table).slice(0, 4)}`;
  }

  /** A chain name has 28 characters at most. */
  named(role: string, id = ''): string {
    return id === '' ? `${this.prefix}-${role}` : `${this.prefix}-${role}-${digest(id)}`;
  }

  // ---- What every table has ---------------------------------------------------------------------

  natChains(): Chain[] {
    const { clusterCidr } = this.#options;
    const masquerade = [`-m connmark --mark ${hex(masqueradeBase)}/0xff000000 -j MASQUERADE`];
    if (clusterCidr !== '') masquerade.push(`! -s ${clusterCidr} -j MASQUERADE`);
    return [
      { name: this.named('REFUSE'), rules: [`-j MARK --set-xmark ${refuseMark}`, '-j ACCEPT'] },
      { name: this.named('REST'), rules: masquerade },
      { name: this.named('HIDE'), rules: [`-j ${this.named('REST')}`] },
      { name: this.named('NODES'), rules: [] },
      {
        name: this.named('DISPATCH'),
        rules: [`! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j ${this.named('NODES')}`],
      },
    ];
  }

  filterChains(): Chain[] {
    const { clusterCidr } = this.#options;
    const [reject, guard] = [this.named('REJECT'), this.named('GUARD')];
    return [
      {
        name: reject,
        rules: ['-p tcp -j REJECT --reject-with tcp-reset', '-j REJECT --reject-with icmp-port-unreachable'],
      },
      {
        name: guard,
        rules: ['-i lo -j RETURN', ...(clusterCidr === '' ? [] : [`! -s ${clusterCidr} -j RETURN`])],
      },
      { name: this.named('FILTER'), rules: [`-m mark --mark ${refuseMark} -j ${reject}`, `-j ${guard}`] },
    ];
  }

  /** Rules in the chains of the system that lead to ours. */
  hooks(): { readonly table: 'nat' | 'filter'; readonly chain: string; readonly rule: string }[] {
    const ours = `-m connmark --mark ${hex(keepBase)}/0xfe000000 -m conntrack --ctstate DNAT`;
    return [
      { table: 'nat', chain: 'PREROUTING', rule: `-j ${this.named('DISPATCH')}` },
      { table: 'nat', chain: 'OUTPUT', rule: `-j ${this.named('DISPATCH')}` },
      { table: 'nat', chain: 'POSTROUTING', rule: `${ours} -j ${this.named('HIDE')}` },
      { table: 'filter', chain: 'FORWARD', rule: `-j ${this.named('FILTER')}` },
      { table: 'filter', chain: 'INPUT', rule: `-j ${this.named('FILTER')}` },
      { table: 'filter', chain: 'OUTPUT', rule: `-m mark --mark ${refuseMark} -j ${this.named('REJECT')}` },
    ];
  }

  // ---- Service ports ----------------------------------------------------------------------------

  chainOf(target: string): string {
    return this.named('S', target);
  }

  /** The chains of one service port: its own first, then those that it leads to. */
  targetChains(target: Target): Chain[] {
    const { id, sources, backends } = target;
    if (backends.length === 0) return [{ name: this.chainOf(id), rules: [] }];
    const balance = this.#balance(target);
    const ends = target.affinitySeconds > 0 ? backends.map((backend) => this.#endChain(target, backend)) : [];
    if (sources === undefined) return [{ name: this.chainOf(id), rules: balance }, ...ends];
    const admitted = this.named('X', id);
    const rules = sources.map((source) => `-s ${block(source)} -j ${admitted}`);
    return [{ name: this.chainOf(id), rules }, { name: admitted, rules: balance }, ...ends];
  }

  #balance(target: Target): string[] {
    const { id, backends, affinitySeconds, masquerade } = target;
    const protocol = target.protocol.toLowerCase();
    const count = backends.length;
    const to = (backend: Backend): string =>
      affinitySeconds > 0 ? this.named('E', `${id} ${backend}`) : `DNAT --to-destination ${backend}`;
    return [
      `-j CONNMARK --set-xmark ${hex(masquerade ? masqueradeBase : keepBase)}/0xffffffff`,
      ...(affinitySeconds === 0 ? [] : backends).map(
        (backend) =>
          `-m recent --rcheck --seconds ${affinitySeconds} --reap --name ${this.#list(id, backend)} --mask 255.255.255.255 --rsource -j ${to(backend)}`,
      ),
      ...backends.map((backend, i) =>
        i === count - 1
          ? `-p ${protocol} -j ${to(backend)}`
          : `-p ${protocol} -m statistic --mode nth --every ${count - i} --packet 0 -j ${to(backend)}`,
      ),
    ];
  }

  #endChain({ id, protocol }: Target, backend: Backend): Chain {
    const remember = `-m recent --set --name ${this.#list(id, backend)} --mask 255.255.255.255 --rsource`;
    return {
      name: this.named('E', `${id} ${backend}`),
      rules: [`-p ${protocol.toLowerCase()} ${remember} -j DNAT --to-destination ${backend}`],
    };
  }

  /** The list of clients that belong to a backend, in the kernel under /proc/net/xt_recent. */
  #list(target: string, backend: Backend): string {
    return this.named('R', `${target} ${backend}`);
  }

  // ---- Addresses --------------------------------------------------------------------------------

  dispatchRule(address: string): SharedRule {
    const rule = `-d ${block(address)} -j ${this.named('A', address)}`;
    return { chain: this.named('DISPATCH'), rule, first: true };
  }

  /** What becomes of connections to one address: those that come back from a service port are refused, other ports only where all is ours. */
  addressChain(address: string, frontends: readonly Frontend[]): Chain {
    const sorted = frontends.toSorted(
      (a, b) => order(a) - order(b) || a.port - b.port || (a.protocol < b.protocol ? -1 : 1),
    );
    const { clusterCidr } = this.#options;
    const rules = sorted.flatMap((frontend) => {
      const { inside, protocol } = frontend;
      const to = `${this.#comment(frontend)} -j ${this.chainOf(frontend.target)}`;
      const at = portMatch(frontend);
      if (inside !== true) return [`-p ${protocol.toLowerCase()} ${at} ${to}`];
      return [
        ...(clusterCidr === '' ? [] : [`-s ${clusterCidr} -p ${protocol.toLowerCase()} ${at} ${to}`]),
        `-p ${protocol.toLowerCase()} -m addrtype --src-type LOCAL ${at} ${to}`,
      ];
    });
    const refuse = `-j ${this.named('REFUSE')}`;
    const whole = sorted.some((frontend) => frontend.whole === true);
    const outside = sorted.filter(({ inside }) => inside !== true);
    const ends = whole
      ? [refuse]
      : outside.map((each) => `-p ${each.protocol.toLowerCase()} ${portMatch(each)} ${refuse}`);
    return { name: this.named('A', address), rules: [...rules, ...ends] };
  }

  nodePortRules(frontend: Frontend): SharedRule[] {
    const at = `-p ${frontend.protocol.toLowerCase()} ${portMatch(frontend)}`;
    const chain = this.named('NODES');
    return [
      { chain, rule: `${at} ${this.#comment(frontend)} -j ${this.chainOf(frontend.target)}` },
      { chain, rule: `${at} -j ${this.named('REFUSE')}` },
    ];
  }

  #comment({ target }: Frontend): string {
    return `-m comment --comment "${target}"`;
  }

  // ---- Pods of this node --------------------------------------------------------------------------

  /** A pod that reaches itself must not see its own address; towards a pod of this node nobody else is hidden. In the order in which they are put first. */
  localRules(ip: string): SharedRule[] {
    const chain = this.named('HIDE');
    return [
      { chain, rule: `-d ${block(ip)} -j RETURN`, first: true },
      { chain, rule: `-s ${block(ip)} -d ${block(ip)} -j MASQUERADE`, first: true },
    ];
  }

  guardRule(guard: Guard): SharedRule {
    const { ip, port } = partsOf(guard.backend);
    const match = portMatch({ protocol: guard.protocol, port });
    const rule = `-d ${block(ip)} -p ${guard.protocol.toLowerCase()} ${match} -j ${this.#guardName(guard)}`;
    return { chain: this.named('GUARD'), rule };
  }

  guardChain(guard: Guard): Chain {
    const clients = guard.sources.map((client) => `-s ${block(client)} -j RETURN`);
    return { name: this.#guardName(guard), rules: [...clients, `-j ${this.named('REJECT')}`] };
  }

  #guardName({ backend, protocol }: Guard): string {
    return this.named('G', `${backend}/${protocol}`);
  }
}

const refuseMark = '0x54000000/0xff000000';
const order = ({ inside }: Frontend): number => (inside === true ? 0 : 1);
const block = (source: string): string => (source.includes('/') ? source : `${source}/32`);
const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);
const hex = (value: number): string => `0x${value.toString(16)}`;
const portMatch = ({ protocol, port }: Pick<Frontend, 'protocol' | 'port'>): string =>
  `-m ${protocol.toLowerCase()} --dport ${port}`;
const partsOf = (backend: Backend): { readonly ip: string; readonly port: number } => {
  const at = backend.lastIndexOf(':');
  return { ip: backend.slice(0, at), port: Number(backend.slice(at + 1)) };
};
