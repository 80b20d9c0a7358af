import { setMaxListeners } from 'node:events';
import { createNoopMeter, trace } from '@opentelemetry/api';
import { systemClock, wait } from '../../../lib/base/clock.ts';
import { silentLog } from '../../../lib/base/log.ts';
import { connectBus } from '../../../lib/bus/nats-bus.ts';
import { newClient } from '../../../lib/client/grpc-client.ts';
import { newViews } from '../../../lib/view/views.ts';
import { newAgent } from '../../../node-agent/agent.ts';
import { newFakeNetwork } from '../../../node-agent/network/fake-network.ts';
import { nodeIndex, podsByNode, podSources } from '../../../node-agent/pod-source.ts';
import { newFakeStorage } from '../../../node-agent/pod-storage.ts';
import { newFakeRuntime, type FakeRuntime } from '../../../node-agent/runtime/fake-runtime.ts';
import { newStatusWriter } from '../../../node-agent/status-writer.ts';
import { serveRequests } from '../netns-requests.ts';

/** Real agents whose machines are not: containers in memory, so that hundreds of pods come and go on two cores. */
const runtimes: FakeRuntime[] = [];
const startMs = 120;

serveRequests({
  /** Starts agents `hollow-0`, `hollow-1`, …; they come up when the API and the bus do. */
  start({ nodes }: { readonly nodes: number }) {
    const client = newClient({ address: '127.0.0.1:7400' });
    const cluster = 'troupe';
    const bus = connectBus({ servers: ['nats://127.0.0.1:4222'], name: 'hollow', cluster, log: silentLog });
    const stop = new AbortController();
    setMaxListeners(0, stop.signal);
    const [clock, log, meter, signal] = [systemClock, silentLog, createNoopMeter(), stop.signal];
    const shared = { client, bus, cluster, clock, log, meter, signal };
    const views = newViews({ pods: { indexes: { [nodeIndex]: podsByNode } }, services: {}, nodes: {} }, shared);
    const synced = views.synced();
    const sources = podSources(views.pods);
    const statuses = newStatusWriter({ client, clock, log, signal });
    for (let i = 0; i < nodes; i++) {
      const name = `hollow-${i}`;
      const plain = newFakeRuntime();
      const runtime = { ...plain };
      const startNow = (id: string) => plain.start(id);
      // As an engine takes it: a container that died is seen dead before it lives again.
      runtime.start = async (id) => {
        await wait(systemClock, startMs);
        return startNow(id);
      };
      runtimes.push(runtime);
      const room = { cpuMilli: 32_000, memoryBytes: 2 ** 36, diskBytes: 2 ** 40, maxPods: 110 };
      newAgent({
        ...{ ...shared, runtime, network: newFakeNetwork(), storage: newFakeStorage(), statuses, synced },
        machine: { name, hostIp: `192.0.2.${10 + i}`, ...room, info: {}, arch: 'amd64' },
        ...{ pods: sources(name), services: views.services, nodes: views.nodes },
        dns: { clusterDns: '10.96.0.10', clusterDomain: 'cluster.local', nodeResolvConf: '' },
        tracer: trace.getTracer('hollow'),
        check: async () => ({ ok: true, message: '' }),
        ...{ routes: false, leaseMs: 0 },
      });
    }
  },
  /** Ends containers as a crash would: each machine counts its own, so that an id may be there on several. */
  crash({ id }: { readonly id: string }) {
    for (const runtime of runtimes) {
      try {
        runtime.crash(id.replace(/^.*:\/\//, ''), 137);
      } catch {
        // Not on this one.
      }
    }
  },
});
