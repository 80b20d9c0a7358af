import type { Key } from '../../lib/api/keys.ts';
import type { LoadBalancerIngress } from '../../lib/api/objects.ts';
import type { Balancer } from './balancer.ts';

/**
 * What makes load balancers real: one implementation per kind of machinery. It keeps nothing that it could not find again
 * in that machinery or be told anew, so that the process may die at any moment.
 */
export interface LoadBalancerProvider {
  /** The `loadBalancerClass` by which a Service asks for it. */
  readonly name: string;

  /** Finds what a former life of this process left running, and goes on from there. Once, before anything else. */
  open(): Promise<void>;

  /**
   * Makes the balancer be so, whatever it was before; resolves when it is in effect, with what clients are to be told.
   * Twice the same does nothing the second time. Connections to endpoints that stay are not disturbed. Rejects with Refusal
   * when it cannot serve such a Service, and then serves nothing for it.
   */
  ensure(balancer: Balancer): Promise<readonly LoadBalancerIngress[]>;

  /** Ends the balancer and frees its address; that there is none is no error. */
  remove(key: Key): Promise<void>;

  /** Whose balancers it has, also those found by `open`. */
  list(): readonly Key[];

  /** Takes everything away from this machine: another one serves now, or nobody. */
  release(): Promise<void>;

  /** Lets go of the process's own means; what is in effect stays. */
  close(): void;
}

/** Such a Service cannot be served; the message says what its owner can do. */
export class Refusal extends Error {
  /** The reason of the Event, in CamelCase. */
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.name = 'Refusal';
    this.reason = reason;
  }
}
