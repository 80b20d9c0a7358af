import type { Key } from '../../../lib/api/keys.ts';
import type { ServiceTraffic } from '../../../lib/bus/traffic-figures.ts';
import type { TrafficRules } from '../rules.ts';
import { diff, type TableChanges } from '../table/diff.ts';
import {
  emptyTable,
  equalTargets,
  frontendKey,
  type Backend,
  type Frontend,
  type ProxyTable,
  type Target,
} from '../table/table.ts';
import type { UserspaceRules } from '../userspace/userspace.ts';
import { LocalPorts } from './local-ports.ts';
import { Mapped } from './mapped.ts';

export interface StagedOptions {
  readonly kernel: TrafficRules;
  readonly stage: UserspaceRules;
  /** An address of this machine that nobody else uses, for the sockets of the stage. */
  readonly address: string;
  /** Also service ports that declare http or h2c, and ask for nothing else. */
  readonly byRequest: boolean;
}

/**
 * The kernel carries the traffic, except for service ports that ask for what it cannot do: a policy, the PROXY protocol, balancing by
 * request, waiting for an endpoint. The rules of those lead to one backend, a socket of this process, and userspace takes it from there. The client's address is kept
 * on the way, and who may not connect is refused in the kernel as anywhere.
 */
export class StagedRules implements TrafficRules {
  readonly name: string;
  readonly #options: StagedOptions;
  readonly #ports = new LocalPorts();
  /** What the kernel is told of a target; a target says the same for as long as it is the same object. */
  readonly #told = new WeakMap<Target, Target>();
  #staged: ProxyTable = emptyTable;

  constructor(options: StagedOptions) {
    this.#options = options;
    this.name = options.kernel.name;
  }

  figures(): string {
    return this.#options.stage.figures();
  }

  /** Services with a port in the stage are counted there alone: the kernel counts what it leads there, too. */
  async carried(services: ReadonlySet<Key>): Promise<readonly ServiceTraffic[]> {
    const staged = await this.#options.stage.carried(services);
    const left = new Set(services);
    for (const { service } of staged) left.delete(service);
    const carried = left.size === 0 ? undefined : await this.#options.kernel.carried?.(left);
    return [...staged, ...(carried ?? [])];
  }

  async replaceAll(table: ProxyTable): Promise<void> {
    const { kernel, stage } = this.#options;
    const staged = this.#withFrontends(table, new Map(), [], [...table.targets.values()]);
    await stage.replaceAll(staged);
    this.#staged = staged;
    await kernel.replaceAll(this.#forKernel(table));
  }

  async apply(
    before: ProxyTable,
    after: ProxyTable,
    changes: TableChanges,
    dead?: ReadonlySet<Backend>,
  ): Promise<void> {
    const { kernel, stage } = this.#options;
    const gone = [...changes.removedTargets, ...changes.changedTargets.map((each) => each.before)];
    const now = [...changes.addedTargets, ...changes.changedTargets.map((each) => each.after)];
    const staged = this.#withFrontends(after, new Map(this.#staged.frontends), gone, now);
    // The sockets first: what the kernel leads to must be there. All targets are known to the stage, so that policies find other services'.
    await stage.apply(this.#staged, staged, { ...changes, ...frontendsOf(this.#staged, staged) });
    this.#staged = staged;
    await kernel.apply(this.#forKernel(before), this.#forKernel(after), this.#changesForKernel(changes), dead);
    // Ports of targets that are no more may be given to others from now on.
    for (const { id } of gone) {
      const left = after.targets.get(id);
      if (left === undefined || !this.#isStaged(left)) this.#ports.release(id);
    }
  }

  async cut(ips: readonly string[]): Promise<void> {
    await Promise.all([this.#options.stage.cut(ips), this.#options.kernel.cut(ips)]);
  }

  async settled(): Promise<void> {
    await this.#options.kernel.settled();
  }

  async differences(expected: ProxyTable): Promise<readonly string[]> {
    const { kernel, stage } = this.#options;
    return [...(await kernel.differences(this.#forKernel(expected))), ...(await stage.differences(this.#staged))].slice(
      0,
      10,
    );
  }

  async close(): Promise<void> {
    await this.#options.stage.close();
    await this.#options.kernel.close();
  }

  async cleanup(): Promise<void> {
    await this.#options.stage.cleanup();
    await this.#options.kernel.cleanup();
  }

  /** The stage's table: `frontends` without those of `gone` and with those of `now`. */
  #withFrontends(
    { targets }: ProxyTable,
    frontends: Map<string, Frontend>,
    gone: readonly Target[],
    now: readonly Target[],
  ): ProxyTable {
    for (const target of gone) {
      const frontend = this.#frontendOf(target);
      if (frontend !== undefined) frontends.delete(frontendKey(frontend));
    }
    for (const target of now) {
      const frontend = this.#frontendOf(target);
      if (frontend !== undefined) frontends.set(frontendKey(frontend), frontend);
    }
    return { ...emptyTable, targets, frontends };
  }

  #frontendOf(target: Target): Frontend | undefined {
    if (!this.#isStaged(target)) return undefined;
    const port = this.#ports.take(target.id);
    return port === undefined
      ? undefined
      : { address: this.#options.address, port, protocol: 'TCP', target: target.id };
  }

  #isStaged({ carriage, protocol }: Target): boolean {
    if (carriage === undefined || protocol !== 'TCP') return false;
    return (
      carriage.policy !== undefined ||
      carriage.proxyProtocol !== undefined ||
      carriage.holdSeconds !== undefined ||
      (carriage.byRequest && this.#options.byRequest)
    );
  }

  #forKernel(table: ProxyTable): ProxyTable {
    return { ...table, targets: new Mapped(table.targets, (target) => this.#tell(target)) };
  }

  #changesForKernel(changes: TableChanges): TableChanges {
    const tell = (target: Target): Target => this.#tell(target);
    return {
      ...changes,
      addedTargets: changes.addedTargets.map(tell),
      removedTargets: changes.removedTargets.map(tell),
      changedTargets: changes.changedTargets
        .map(({ before, after }) => ({ before: tell(before), after: tell(after) }))
        .filter(({ before, after }) => !equalTargets(before, after)),
    };
  }

  #tell(target: Target): Target {
    if (target.carriage === undefined) return target;
    let told = this.#told.get(target);
    if (told === undefined) {
      const { carriage: _, ...plain } = target;
      const frontend = this.#frontendOf(target);
      const served = target.backends.length > 0 || target.carriage.holdSeconds !== undefined;
      told =
        frontend === undefined
          ? plain
          : {
              ...plain,
              backends: served ? [`${frontend.address}:${frontend.port}`] : [],
              ...{ affinitySeconds: 0, masquerade: false },
            };
      this.#told.set(target, told);
    }
    return told;
  }
}

/** The changes of the stage's own frontends. */
function frontendsOf(before: ProxyTable, after: ProxyTable): Pick<TableChanges, 'addedFrontends' | 'removedFrontends'> {
  const { addedFrontends, removedFrontends } = diff(
    { ...before, targets: noTargets },
    { ...after, targets: noTargets },
  );
  return { addedFrontends, removedFrontends };
}
const noTargets: ProxyTable['targets'] = new Map();
