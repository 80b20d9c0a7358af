import { randomUUID } from 'node:crypto';
import { backoffMs } from '../../lib/base/backoff.ts';
import { wait, type Clock } from '../../lib/base/clock.ts';
import { messageOf } from '../../lib/base/errors.ts';
import type { Log } from '../../lib/base/log.ts';
import { isIdleWarm, label, warmName } from '../labels.ts';
import type { Limit } from '../limit.ts';
import type { PodNetwork } from '../network/pod-network.ts';
import type { ContainerRuntime, ContainerSpec, RuntimeContainer } from '../runtime/runtime.ts';

/** A sandbox without a pod, with its network. */
export interface WarmSandbox {
  /** Whose its address is as long as no pod has it. */
  readonly owner: string;
  readonly ip: string;
  readonly is: RuntimeContainer;
}

export interface WarmPoolOptions {
  readonly runtime: ContainerRuntime;
  readonly network: PodNetwork;
  /** The real work: while any of it goes on, none is made. */
  readonly steps: Limit;
  readonly image: string;
  /** How many are kept; 0 removes those that an earlier agent left. */
  readonly size: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** How long nothing must have been done for pods before one is made. */
const quietMs = 200;
const retry = { firstMs: 500, maxMs: 30_000 };

/** What all sandboxes without wishes of their own have in common; `name` and `labels` make the difference. */
export const warmSpec = (image: string): Omit<ContainerSpec, 'name' | 'labels'> => ({
  image,
  env: [],
  mounts: [],
  lateHostname: true,
  oomScoreAdj: -998,
});

/**
 * A few sandboxes ready in advance. Whose one is, its name says, which is unique and changes in one step: `troupe_WARM_…` is nobody's,
 * a pod takes it by giving it the name of its own sandbox. So an agent that dies at any moment loses and doubles none; the
 * next one finds what is left. See docs/decisions/warm-sandboxes.md.
 */
export class WarmPool {
  readonly #options: WarmPoolOptions;
  readonly #ready: WarmSandbox[] = [];
  /** Found after a start, with a network that nobody has looked at yet. */
  readonly #found: WarmSandbox[] = [];
  /** A list that was asked for before they were taken still shows them as nobody's. */
  readonly #taken = new Set<string>();
  #filling = false;

  constructor(options: WarmPoolOptions) {
    this.#options = options;
  }

  get ready(): number {
    return this.#ready.length;
  }

  /** The addresses that they have, by owner. */
  addresses(): ReadonlyMap<string, string> {
    return new Map([...this.#ready, ...this.#found].map(({ owner, ip }) => [owner, ip]));
  }

  /** One for a pod, which must give it its own name before it relies on it; undefined where none is ready. */
  take(): WarmSandbox | undefined {
    const taken = this.#ready.shift();
    if (taken === undefined) return undefined;
    this.#taken.add(taken.is.id);
    this.fill();
    return taken;
  }
  /** It was not taken after all. */
  putBack(sandbox: WarmSandbox): void {
    this.#taken.delete(sandbox.is.id);
    this.#ready.push(sandbox);
  }

  /** What the engine has now: after a start they are taken over, later those that are gone are forgotten. */
  async seen(containers: readonly RuntimeContainer[]): Promise<void> {
    const { size } = this.#options;
    const there = new Set(containers.map(({ id }) => id));
    for (const id of this.#taken) if (!there.has(id)) this.#taken.delete(id);
    const running = new Set<string>();
    for (const is of containers.filter((container) => isIdleWarm(container) && !this.#taken.has(container.id))) {
      const owner = is.labels[label.warm];
      const ip = is.labels[label.ip];
      if (owner === undefined || owner === this.#making) continue;
      const known = [...this.#ready, ...this.#found];
      const isKnown = known.some((one) => one.is.id === is.id);
      const isWanted = isKnown || known.length + (this.#making === undefined ? 0 : 1) < size;
      if (is.state !== 'running' || ip === undefined || !isWanted) await this.#remove(is, owner);
      else {
        running.add(is.id);
        if (!isKnown) this.#found.push({ owner, ip, is });
      }
    }
    for (const list of [this.#ready, this.#found]) {
      const left = list.filter(({ is }) => running.has(is.id));
      list.splice(0, list.length, ...left);
    }
  }

  /** One of them has died. */
  died(id: string): void {
    const at = this.#ready.findIndex(({ is }) => is.id === id);
    const [dead] = at < 0 ? [] : this.#ready.splice(at, 1);
    if (dead !== undefined) void this.#remove(dead.is, dead.owner).finally(() => this.fill());
  }

  /** Makes what is missing, beside the real work and one after another. Calling it twice is harmless. */
  fill(): void {
    if (this.#filling || this.#options.size === 0) return;
    this.#filling = true;
    void this.#fill().finally(() => {
      this.#filling = false;
    });
  }

  async #fill(): Promise<void> {
    const { network, size, clock, log, signal } = this.#options;
    for (let failures = 0; !signal.aborted && network.configured;) {
      try {
        for (let found = this.#found[0]; found !== undefined; found = this.#found[0]) {
          await this.#attach(found, true); // its agent may have died before it had
          if (this.#found[0] === found) this.#ready.push(...this.#found.splice(0, 1));
        }
        if (this.#ready.length >= size) return;
        await this.#quiet();
        if (this.#ready.length < size) await this.#make();
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (failures === 0) log.warn({ error: messageOf(error) }, 'no sandbox could be made in advance; trying on');
        await wait(clock, backoffMs(failures++, retry), signal).catch(() => undefined);
      }
    }
  }

  async #quiet(): Promise<void> {
    const { steps, clock, signal } = this.#options;
    do {
      await steps.whenIdle();
      await wait(clock, quietMs, signal);
    } while (steps.running > 0);
  }

  /** The one being made: what failed half-way is gone on with, under the same name and address. */
  #making: string | undefined;

  async #make(): Promise<void> {
    const { runtime, network, image } = this.#options;
    const adopted = this.#making !== undefined;
    const owner = (this.#making ??= `warm-${randomUUID().slice(0, 8)}`);
    const ip = network.reserve(owner);
    const labels = { [label.kind]: 'warm', [label.warm]: owner, [label.ip]: ip };
    const id = await runtime.create({ ...warmSpec(image), name: warmName(owner), labels });
    const is = await runtime.start(id);
    if (is?.state !== 'running') {
      this.#making = undefined; // the next one has a name of its own
      if (is !== undefined) await this.#remove(is, owner);
      throw new Error('the infra container ended at once');
    }
    await this.#attach({ owner, ip, is }, adopted);
    this.#making = undefined;
    this.#ready.push({ owner, ip, is });
  }

  #attach({ owner, ip, is }: WarmSandbox, adopted: boolean): Promise<void> {
    return this.#options.network.attach({ podUid: owner, ip, pid: is.pid ?? 0, hostPorts: [], sysctls: [], adopted });
  }

  /** Its address is free when it is gone, not before. */
  async #remove(is: RuntimeContainer, owner: string | undefined): Promise<void> {
    const { runtime, network, log } = this.#options;
    try {
      await runtime.remove(is.id);
      if (owner !== undefined) await network.detach(owner);
    } catch (error) {
      log.debug({ container: is.id, error: messageOf(error) }, 'a sandbox that nobody needs could not be removed yet');
    }
  }
}
