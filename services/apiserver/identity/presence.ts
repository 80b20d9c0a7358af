import { makeKey } from '../../../lib/api/keys.ts';
import type { Endpoints, EndpointSubset, Lease } from '../../../lib/api/objects.ts';
import { sameJson } from '../../../lib/api/json.ts';
import { parseIp } from '../../../lib/api/net.ts';
import { rfc3339Micro, wait, type Clock } from '../../../lib/base/clock.ts';
import { hasReason, ignoreNotFound, messageOf } from '../../../lib/base/errors.ts';
import type { Log } from '../../../lib/base/log.ts';
import type { Registry } from '../registry/registry.ts';

export interface PresenceOptions {
  readonly registry: Registry;
  /** Where pods reach this apiserver. */
  readonly doors: Doors;
  /** No other apiserver can have this store: Leases that are there are left from former lives. */
  readonly alone: boolean;
  readonly clock: Clock;
  readonly log: Log;
}

/** An address, and the ports of the doors there by their names in the Service and its Endpoints. */
export interface Doors {
  readonly host: string;
  readonly ports: Readonly<Record<string, number>>;
}

const namespace = 'kube-system';
const label = 'troupe.dev/serves';
const labels = { [label]: 'api' };
const endpointsKey = makeKey('default', 'kubernetes');
/** A Lease that nobody renewed for so long is that of an apiserver that is gone. */
const leaseSeconds = 6;
const renewMs = 2_000;

/**
 * The apiservers that pods can reach: each holds a Lease with its address, and each writes the Endpoints of
 * `default/kubernetes` from the Leases that are alive, so that the list is right whichever of them dies. How long a Lease was
 * silent is counted by the own steady clock from its last change, so that wall clocks need not agree.
 */
export class Presence {
  readonly #o: PresenceOptions;
  readonly #name: string;
  readonly #seen = new Map<string, { readonly version: string; readonly atMs: number }>();

  constructor(options: PresenceOptions) {
    this.#o = options;
    this.#name = `apiserver-${holderOf(options.doors).replace(/[^\w.-]/g, '-')}`;
  }

  /** Tells of this apiserver; then keeps telling until aborted. Rejects only when the first time fails. */
  async start(signal: AbortSignal): Promise<{ readonly ended: Promise<void> }> {
    if (this.#o.alone) await this.#endFormerLives();
    await this.round();
    return { ended: this.#keep(signal) };
  }

  /** Takes this apiserver off the list, unless it is the last one: then the next one to start is soon the whole list. */
  async leave(): Promise<void> {
    await ignoreNotFound(this.#o.registry.delete('leases', makeKey(namespace, this.#name), {}));
    const own = holderOf(this.#o.doors);
    const others = (await this.#living()).filter((doors) => holderOf(doors) !== own);
    if (others.length > 0) await this.#write(others);
  }

  /** Renews the own Lease, looks at those of others and writes the list if it differs. */
  async round(): Promise<void> {
    await this.#renew();
    await this.#write([this.#o.doors, ...(await this.#living())]);
  }

  async #keep(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#o;
    for (;;) {
      await wait(clock, renewMs, signal).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await this.round();
      } catch (error) {
        if (!hasReason(error, 'Conflict', 'AlreadyExists', 'NotFound'))
          // another was quicker: the next round sees it
          log.warn({ error: messageOf(error) }, 'could not tell pods where the API is; trying again');
      }
    }
  }

  async #renew(): Promise<void> {
    const { registry, doors, clock } = this.#o;
    const renewTime = rfc3339Micro(clock.now());
    const spec = { holderIdentity: holderOf(doors), leaseDurationSeconds: leaseSeconds, renewTime };
    try {
      await registry.patch('leases', makeKey(namespace, this.#name), { metadata: { labels }, spec }, {});
    } catch (error) {
      if (!hasReason(error, 'NotFound')) throw error;
      await registry.create('leases', namespace, { metadata: { name: this.#name, labels }, spec }, {});
    }
  }

  async #leases(): Promise<readonly Lease[]> {
    const { items } = await this.#o.registry.list('leases', { namespace, labelSelector: `${label}=api` });
    return items.map(({ json }) => JSON.parse(json.toString('utf8')) as Lease);
  }

  /** The addresses of apiservers that renew their Leases; a Lease that fell silent is deleted. */
  async #living(): Promise<Doors[]> {
    const now = this.#o.clock.monotonic();
    const living: Doors[] = [];
    const leases = await this.#leases();
    for (const { metadata, spec } of leases) {
      const seen = this.#seen.get(metadata.name);
      if (seen?.version !== metadata.resourceVersion)
        this.#seen.set(metadata.name, { version: metadata.resourceVersion, atMs: now });
      else if (metadata.name !== this.#name && now - seen.atMs >= leaseSeconds * 1000) {
        await this.#end(metadata);
        continue;
      }
      const doors = doorsIn(spec.holderIdentity ?? '');
      if (doors !== undefined) living.push(doors);
    }
    for (const name of this.#seen.keys())
      if (!leases.some(({ metadata }) => metadata.name === name)) this.#seen.delete(name);
    return living;
  }

  /** If it was renewed meanwhile it stays. */
  async #end({ name, uid, resourceVersion }: Lease['metadata']): Promise<void> {
    try {
      await this.#o.registry.delete('leases', makeKey(namespace, name), { preconditions: { uid, resourceVersion } });
    } catch (error) {
      if (!hasReason(error, 'NotFound', 'Conflict')) throw error;
    }
  }

  async #endFormerLives(): Promise<void> {
    for (const { metadata } of await this.#leases()) if (metadata.name !== this.#name) await this.#end(metadata);
  }

  async #write(living: readonly Doors[]): Promise<void> {
    const { registry } = this.#o;
    const subsets = subsetsOf(living);
    const found = await registry.get('endpoints', endpointsKey);
    if (found === undefined) {
      const metadata = { name: 'kubernetes', namespace: 'default', labels: { component: 'apiserver' } };
      await registry.create('endpoints', 'default', { metadata, subsets }, {});
      return;
    }
    const current = JSON.parse(found.json.toString('utf8')) as Endpoints;
    if (!sameJson(current.subsets, subsets))
      await registry.update('endpoints', endpointsKey, { ...current, subsets }, {});
  }
}

/** As a Lease names its holder: `10.0.0.1 grpc=7443 https=8443`. */
function holderOf({ host, ports }: Doors): string {
  const named = Object.entries(ports).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return [host, ...named.map(([name, port]) => `${name}=${port}`)].join(' ');
}

/** Undefined for a holder that is written otherwise. */
function doorsIn(holder: string): Doors | undefined {
  const [host = '', ...named] = holder.split(' ');
  const ports = named.map((text) => /^([a-z]+)=(\d{1,5})$/.exec(text));
  if (parseIp(host) === undefined || ports.length === 0) return undefined;
  const entries = ports.flatMap((found) => (found === null ? [] : [[found[1] ?? '', Number(found[2])] as const]));
  return entries.length === ports.length ? { host, ports: Object.fromEntries(entries) } : undefined;
}

/** One subset for all that have the same ports, sorted: whoever writes it writes the same. */
export function subsetsOf(living: readonly Doors[]): EndpointSubset[] {
  const byPorts = new Map<string, Doors[]>();
  for (const doors of living) {
    const same = holderOf({ ...doors, host: '' });
    byPorts.set(same, [...(byPorts.get(same) ?? []), doors]);
  }
  const byNumber = (a: string, b: string): number => (parseIp(a) ?? 0) - (parseIp(b) ?? 0);
  return [...byPorts]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, all]) => ({
      addresses: [...new Set(all.map(({ host }) => host))].sort(byNumber).map((ip) => ({ ip })),
      ports: Object.entries(all[0]?.ports ?? {})
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, port]) => ({ name, port, protocol: 'TCP' })),
    }));
}
