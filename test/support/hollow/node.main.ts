import { setMaxListeners } from 'node:events';
import { createNoopMeter, trace } from '@opentelemetry/api';
import { systemClock } from '../../../lib/base/clock.ts';
import { silentLog } from '../../../lib/base/log.ts';
import { connectBus } from '../../../lib/bus/nats-bus.ts';
import { newClient } from '../../../lib/client/grpc-client.ts';
import { newViews } from '../../../lib/view/views.ts';
import { newAgent } from '../../../node-agent/agent.ts';
import { newFakeNetwork } from '../../../node-agent/network/fake-network.ts';
import { newFakeStorage } from '../../../node-agent/pod-storage.ts';
import { remoteRuntime } from './remote-runtime.ts';

/** A process with a real agent on the engine of the process that forked it, with which it ends: `NAME API NATS CLUSTER`. */
const [name = '', address = '', nats = '', cluster = ''] = process.argv.slice(2);
process.on('disconnect', () => process.exit());

const { signal } = new AbortController();
setMaxListeners(0, signal); // every view and loop listens
const client = newClient({ address });
const bus = connectBus({ servers: [nats], name, cluster, log: silentLog });
const meter = createNoopMeter();
const shared = { client, bus, cluster, clock: systemClock, log: silentLog, meter, signal };
const views = newViews({ pods: { node: name }, services: {}, nodes: {} }, shared);
newAgent({
  ...shared,
  ...{ pods: views.pods, services: views.services, nodes: views.nodes, synced: views.synced() },
  machine: {
    ...{ name, hostIp: '192.0.2.1', arch: 'amd64', info: {} },
    ...{ cpuMilli: 32_000, memoryBytes: 64 * 2 ** 30, diskBytes: 2 ** 40, maxPods: 110 },
  },
  runtime: remoteRuntime(),
  network: newFakeNetwork(),
  storage: newFakeStorage(),
  dns: { clusterDns: '10.96.0.10', clusterDomain: 'cluster.local', nodeResolvConf: '' },
  tracer: trace.getTracer('hollow'),
  check: async () => ({ ok: true, message: '' }),
  routes: false,
});
