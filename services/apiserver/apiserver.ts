import type { Clock } from '../../lib/base/clock.ts';
import type { ServiceContext } from '../../lib/base/lifecycle.ts';
import type { EventBus } from '../../lib/bus/bus.ts';
import { askEffects } from '../../lib/bus/effects.ts';
import { askStats } from '../../lib/bus/node-stats.ts';
import { splitAddress } from '../../lib/base/telemetry.ts';
import { connectBus } from '../../lib/bus/nats-bus.ts';
import { parsePortRange, parseServiceCidr, type apiserverOptions } from './config.ts';
import { newGrpcServer } from './grpc/server.ts';
import { ensureApiService, podAddress, type ApiPort } from './identity/api-service.ts';
import { Presence } from './identity/presence.ts';
import { newIdentities } from './identity/identities.ts';
import { newRegistry } from './registry/index.ts';
import type { Registry } from './registry/registry.ts';
import { restCertificates, startRest } from './rest/start.ts';
import { startRelay } from './relay/relay.ts';
import { LmdbStore } from './store/lmdb.ts';
import { MemoryStore } from './store/memory.ts';
import type { Store } from './store/store.ts';
import { newNodeStreams } from './streams/node-streams.ts';
import type { AskAll } from './effects/effects.ts';
import type { AskNode } from './usage/usage.ts';

type Context = ServiceContext<typeof apiserverOptions>;

/** A commit that waits longer than this for the disk makes the process not ready. */
const stuckMs = 5_000;

/** The store, the rules over it, the door, and the relay that tells the bus. Released in reverse order. */
export async function startApiserver(context: Context): Promise<void> {
  const { config, log, clock, telemetry } = context;
  let starting: string | undefined = 'its doors are not all open yet';
  telemetry.ready('start', () => starting);
  const store = openStore(context);
  context.onStop('store', () => store.close());
  const certificates = await restCertificates(context);
  const forPods = config.podHttpsListen === '' ? undefined : certificates?.authority.cert;
  const registry = await newRegistry({
    store,
    clock,
    log,
    meter: telemetry.meter,
    serviceCidr: parseServiceCidr(config.serviceCidr),
    nodePorts: parsePortRange(config.nodePorts),
    events: { maxBytes: config.eventsBytes, maxAgeMs: config.eventsAge * 1000 },
    reachable: config.podListen !== '' || forPods !== undefined,
    ...(forPods === undefined ? {} : { rootCertificate: forPods }),
  });
  context.onStop('registry', () => registry.close());
  const bus = startRelaying(context, store);
  const identities = newIdentities({ registry, clock });
  const shared = { tracer: telemetry.tracer, clock, identities, ...nodeDoors(context, bus) };
  const door = newGrpcServer(registry, { ...shared, meter: telemetry.meter });
  const address = await door.start(config.listen);
  context.onStop('grpc', () => door.stop());
  const podDoors = new Map<ApiPort, string>();
  if (config.podListen !== '') {
    const podDoor = newGrpcServer(registry, { ...shared, tokenRequired: true, flag: '--pod-listen' });
    podDoors.set('grpc', await podDoor.start(config.podListen));
    context.onStop('grpc for pods', () => podDoor.stop());
  }
  if (certificates !== undefined) {
    const rest = await startRest(context, certificates, { registry, identities, ...nodeDoors(context, bus) });
    if (rest.pods !== undefined) podDoors.set('https', rest.pods);
    log.info(rest, 'serving REST');
  }
  if (podDoors.size > 0) await tellPods(context, registry, podDoors);
  starting = undefined;
  log.info({ address, data: config.data, revision: registry.cache.revision }, 'serving');
}

/** Lets pods find the API as the Service `kubernetes`. */
async function tellPods(context: Context, registry: Registry, listening: ReadonlyMap<ApiPort, string>): Promise<void> {
  const { config, clock, log, signal } = context;
  const [first = ''] = listening.values();
  const doors = {
    host: await podAddress(first, config.podAdvertise),
    ports: Object.fromEntries([...listening].map(([name, address]) => [name, splitAddress(address).port])),
  };
  await ensureApiService(registry);
  // Both stores belong to one process alone.
  const presence = new Presence({ registry, doors, alone: true, clock, log });
  const { ended } = await presence.start(signal);
  context.onStop('presence', async () => {
    await ended;
    await presence.leave();
  });
  log.info(doors, 'serving pods');
}

/** The ways to the agents of nodes. */
const nodeDoors = ({ config: { cluster }, clock }: Context, bus: EventBus | undefined) =>
  bus === undefined
    ? {}
    : {
        askNode: nodeAsker(bus, cluster),
        askAll: effectsAsker(bus, cluster, clock),
        streams: newNodeStreams({ bus, cluster, clock }),
      };

function openStore({ config, clock, telemetry }: Context): Store {
  if (config.store === 'memory') return new MemoryStore({ clock });
  const store = new LmdbStore({
    folder: config.data,
    clock,
    meter: telemetry.meter,
    maxBytes: config.storeMaxBytes,
    history: { maxAgeMs: config.historyAge * 1000, maxBytes: config.historyBytes },
  });
  telemetry.ready('store', () => {
    const waitingMs = store.waitingMs();
    return waitingMs < stuckMs ? undefined : `a commit has waited ${Math.round(waitingMs / 1000)} s for the disk`;
  });
  return store;
}

/** With the bus away the API goes on; the relay publishes from the store's history when it is back. */
function startRelaying(context: Context, store: Store): EventBus | undefined {
  const { config, log, clock, telemetry, signal } = context;
  if (config.nats.length === 0) return undefined;
  const { cluster } = config;
  const bus = connectBus({ servers: config.nats, name: 'apiserver', cluster, log });
  const relay = startRelay({
    ...{ store, bus, stream: bus.stream, cluster, clock, log, signal },
    meter: telemetry.meter,
    exclusive: true, // both stores belong to one process alone
  });
  context.onStop('bus', async () => {
    await relay.ended;
    await bus.close();
  });
  return bus;
}

/** A node that takes longer than this is named as one that did not answer. */
const askTimeoutMs = 2_000;
const nodeAsker =
  (bus: EventBus, cluster: string): AskNode =>
  (node, question) =>
    askStats(bus, { cluster, node, timeoutMs: askTimeoutMs }, question);

const effectsAsker =
  (bus: EventBus, cluster: string, clock: Clock): AskAll =>
  (service, nodes, timeoutMs) =>
    askEffects(bus, { cluster, clock, nodes, timeoutMs }, service === undefined ? {} : { service });
