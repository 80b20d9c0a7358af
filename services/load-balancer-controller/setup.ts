import { keyOf, type Key } from '../../lib/api/keys.ts';
import { messageOf } from '../../lib/base/errors.ts';
import { tellProgrammed } from '../../lib/bus/teller.ts';
import type { ControllerParts, ControllerSetup, FreeLoop } from '../../lib/controller/service.ts';
import { DeviceAddresses, type LocalAddresses } from './addresses.ts';
import { announce } from './announce.ts';
import { heldBy, wantsBalancer } from './balancer.ts';
import { ByProxies } from './by-proxies.ts';
import type { loadBalancerOptions } from './config.ts';
import { LoadBalancerController } from './controller.ts';
import { Haproxy } from './haproxy/haproxy.ts';
import { newSweep, yieldToOthers } from './machine.ts';
import { observeHaproxy } from './metrics.ts';
import { Progress } from './progress.ts';
import { AddressPool, type Holder } from './pool.ts';

type Parts = ControllerParts<typeof loadBalancerOptions>;

/** Many Services at once are one change of HAProxy's configuration. */
const workers = 64;

/** Wires the loop to its views and to this machine; `main.ts` runs it as a process. */
export const setup: ControllerSetup<typeof loadBalancerOptions> = async (parts) => {
  const { config, clock, log, meter, signal, client } = parts;
  if (config.cleanup) return cleanUp(parts);
  if (config.pool.length === 0)
    throw new Error('--pool: say which addresses may be given to Services, such as 10.200.0.0/24');
  const services = parts.view('services');
  const endpoints = parts.view('endpoints');
  const pool = new AddressPool(config.pool, function* (): Generator<Holder> {
    for (const service of services.list()) {
      const ip = heldBy(service);
      if (ip !== undefined && wantsBalancer(service))
        yield { key: keyOf(service), since: service.metadata.creationTimestamp, ip };
    }
  });
  const addresses = new DeviceAddresses(config.device, config.cluster, (ip) => {
    announce(ip).catch((error: unknown) => {
      log.warn({ address: ip, error: messageOf(error) }, 'could not tell neighbours where an address is now');
    });
  });
  const haproxy = newHaproxy(parts, pool, addresses);
  const proxies = new ByProxies(pool, addresses);
  const providers = [haproxy, proxies];
  await haproxy.open();
  parts.onStop('HAProxy', () => {
    haproxy.close();
  });
  observeHaproxy(haproxy, meter, log);
  const byDefault = { haproxy, proxies, none: undefined }[config.provider];
  const { identity, leaseDuration, leaderElect } = config;
  if (leaderElect) {
    const release = async (): Promise<void> => {
      for (const provider of providers) await provider.release();
    };
    void yieldToOthers({ client, identity, everyMs: leaseDuration * 1000, clock, log, signal, release });
  }
  const controller = new LoadBalancerController({ ...parts, services, endpoints, providers, byDefault, pool });
  const progress = new Progress(() => ({
    epoch: endpoints.position.epoch,
    services: services.position.revision,
    endpoints: endpoints.position.revision,
  }));
  return [
    {
      controller: {
        name: controller.name,
        sync: (key) => progress.during(key, () => controller.sync(key)),
      },
      workers,
      keys: () => {
        const wanted = services.list().filter(wantsBalancer).map(keyOf);
        const keys = new Set([...wanted, ...providers.flatMap((each) => each.list())]);
        progress.begin(keys);
        return keys;
      },
      wake: (queue) => {
        const add = (key: Key): void => {
          progress.touch(key);
          queue.add(key);
        };
        services.onChange(({ key, before, after }) => {
          if ([before, after].some((each) => each !== undefined && wantsBalancer(each))) add(key);
        });
        endpoints.onChange(({ key }) => {
          const service = services.get(key);
          if (service !== undefined && wantsBalancer(service)) add(key);
        });
      },
      object: (key) => services.get(key),
    },
    newSweep(addresses, (ip) => pool.isGiven(ip), clock),
    newTeller(parts, progress),
  ];
};

/** While this process leads, pods that are to stop wait until it sends nothing there (decision: acknowledged-removal). */
const newTeller = ({ bus, cluster, config, clock }: Parts, progress: Progress): FreeLoop => ({
  name: 'teller',
  async run(leading) {
    const who = { kind: 'load-balancer', name: config.identity };
    if (bus !== undefined)
      tellProgrammed({ bus, cluster, who, sender: progress, mode: config.provider, clock, signal: leading });
    await untilAborted(leading);
  },
});
const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => {
      resolve();
    });
  });

/** Ends HAProxy, takes the addresses off this machine, and ends the process. */
async function cleanUp(parts: Parts): Promise<readonly []> {
  const addresses = new DeviceAddresses(parts.config.device, parts.config.cluster);
  const haproxy = newHaproxy(parts, new AddressPool([], () => []), addresses);
  await haproxy.open();
  await haproxy.release();
  haproxy.close();
  parts.done();
  return [];
}

function newHaproxy(
  { config, clock, log, meter }: Pick<Parts, 'config' | 'clock' | 'log' | 'meter'>,
  pool: AddressPool,
  addresses: LocalAddresses,
): Haproxy {
  const applied = meter.createHistogram('troupe_load_balancer_apply_seconds', {
    description: 'What it took to put a change into effect, by what it took',
    advice: { explicitBucketBoundaries: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5] },
  });
  return new Haproxy({
    ...{ pool, addresses, clock, log },
    command: config.haproxy,
    folder: config.data,
    limits: { maxConnections: config.maxConnections, idleSeconds: config.idleSeconds },
    onDone: (what, seconds) => {
      applied.record(seconds, { what });
    },
  });
}
