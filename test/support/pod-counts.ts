import type { Pod } from '../../lib/api/objects.ts';
import { isActive, isReady } from '../../lib/api/pods.ts';
import type { FlowCluster } from './flow-cluster.ts';

/** How few pods were ready, and how many there, at any turn of a cluster's clock: what a rollout promises. */
export class PodCounts {
  readonly #cluster: FlowCluster;
  readonly #limitMs: number;
  #isCounting = false;
  #seen = { ready: Infinity, active: 0 };

  /** `limitMs`: how long `until` waits by the cluster's clock, where it is not told. */
  constructor(cluster: FlowCluster, limitMs: number) {
    this.#cluster = cluster;
    this.#limitMs = limitMs;
  }

  get seen(): { readonly ready: number; readonly active: number } {
    return this.#seen;
  }
  /** Counts from now on, anew. */
  start(): void {
    this.#isCounting = true;
    this.#seen = { ready: Infinity, active: 0 };
  }
  stop(): void {
    this.#isCounting = false;
  }

  async active(): Promise<readonly Pod[]> {
    return (await this.#cluster.list('pods')).filter(isActive);
  }

  /** Turns the clock until `check` holds, counting pods at every turn. A step whose word was lost waits for the next look at everything. */
  until(what: string, check: () => Promise<boolean>, limitMs = this.#limitMs): Promise<number> {
    return this.#cluster.until(
      what,
      async () => {
        if (this.#isCounting) {
          const pods = await this.active();
          const { ready, active } = this.#seen;
          this.#seen = {
            ready: Math.min(ready, pods.filter(isReady).length),
            active: Math.max(active, pods.length),
          };
        }
        return check();
      },
      limitMs,
    );
  }
}
