import { makeKey } from '../../../lib/api/keys.ts';
import type { Pod, ReplicationController, Service } from '../../../lib/api/objects.ts';
import type { Client } from '../../../lib/client/client.ts';

/** Numbers from 0 to 1 that a seed decides (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What there is, as far as the one who takes steps knows. */
export interface Known {
  readonly services: readonly Service[];
  readonly pods: readonly Pod[];
  readonly controllers: readonly ReplicationController[];
}

const namespace = 'default';
const apps = ['a', 'b', 'c', 'd', 'e', 'f'];
const mostServices = 40;
const mostControllers = 8;
const mostReplicas = 6;
/** Addresses of a legacy database, which no pod has. */
const outside = ['203.0.113.5', '203.0.113.6', '203.0.113.7'];

/** Does one thing that somebody might do to a cluster, or none where there is nothing to do it to; resolves to what it was. */
export async function step(client: Client, known: Known, random: () => number, serial: number): Promise<string> {
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  const app = pick(apps) ?? 'a';
  const service = pick(known.services.filter(({ metadata }) => metadata.name !== 'kubernetes'));
  const controller = pick(known.controllers);
  const pod = pick(known.pods);
  const keyOf = (object: { readonly metadata: { readonly name: string } }): string =>
    makeKey(namespace, object.metadata.name);

  const createService = async (): Promise<string> => {
    const kind = pick(['plain', 'plain', 'node', 'sticky', 'headless', 'eager', 'byHand']) ?? 'plain';
    const name = `s${serial}`;
    const ports = [
      { name: 'http', port: 80, targetPort: 8080 },
      ...(random() < 0.3 ? [{ name: 'admin', port: 81, targetPort: 8081 }] : []),
      ...(random() < 0.2 ? [{ name: 'dns', port: 53, targetPort: 5353, protocol: 'UDP' as const }] : []),
    ];
    await client.create('services', {
      metadata: { name, namespace },
      spec: {
        ports,
        ...(kind === 'byHand' ? {} : { selector: { app } }),
        ...(kind === 'node' ? { type: 'NodePort' as const } : {}),
        ...(kind === 'sticky' ? { sessionAffinity: 'ClientIP' as const } : {}),
        ...(kind === 'headless' ? { clusterIP: 'None' } : {}),
        ...(kind === 'eager' ? { publishNotReadyAddresses: true } : {}),
      },
    });
    if (kind === 'byHand') await writeByHand(client, name, ports, pick(outside) ?? '');
    return `creates ${kind} service ${name}`;
  };
  const createController = async (): Promise<string> => {
    const name = `rc${serial}`;
    const spec = { containers: [{ name: 'main', image: 'web' }], terminationGracePeriodSeconds: 1 };
    const template = { metadata: { labels: { app } }, spec };
    await client.create('replicationcontrollers', {
      metadata: { name, namespace },
      spec: {
        replicas: Math.floor(random() * mostReplicas),
        selector: { app, rc: name },
        template: withLabel(template, name),
      },
    });
    return `creates controller ${name} of ${app}`;
  };

  const draw = random();
  if (known.services.length < 5 || (draw < 0.12 && known.services.length < mostServices)) return createService();
  if (known.controllers.length < 3 || (draw < 0.15 && known.controllers.length < mostControllers))
    return createController();
  if (draw < 0.24 && service !== undefined) {
    await client.delete('services', keyOf(service));
    return `deletes service ${service.metadata.name}`;
  }
  if (draw < 0.3 && service !== undefined) {
    if (service.spec.selector === undefined) {
      await writeByHand(
        client,
        service.metadata.name,
        service.spec.ports ?? [],
        ...outside.filter(() => random() < 0.5),
      );
      return `writes the endpoints of ${service.metadata.name}`;
    }
    await client.patch('services', keyOf(service), { spec: { selector: { app } } });
    return `service ${service.metadata.name} selects ${app}`;
  }
  if (draw < 0.33 && controller !== undefined) {
    await client.delete('replicationcontrollers', keyOf(controller), { propagationPolicy: 'Background' });
    return `deletes controller ${controller.metadata.name}`;
  }
  if (draw < 0.58 && controller !== undefined) {
    const replicas = Math.floor(random() * (mostReplicas + 1));
    await client.patch('replicationcontrollers', keyOf(controller), { spec: { replicas } });
    return `scales ${controller.metadata.name} to ${replicas}`;
  }
  if (draw < 0.72 && pod !== undefined) {
    await client.patch('pods', keyOf(pod), { metadata: { labels: { app } } });
    return `relabels ${pod.metadata.name} as ${app}`;
  }
  if (draw < 0.84 && pod !== undefined) {
    await client.delete('pods', keyOf(pod), random() < 0.3 ? { gracePeriodSeconds: 0 } : {});
    return `deletes pod ${pod.metadata.name}`;
  }
  const id = pod?.status.containerStatuses?.[0]?.containerID;
  return id === undefined ? 'does nothing' : `crashes ${id}`;
}

const withLabel = <T extends { readonly metadata: { readonly labels: object } }>(template: T, rc: string) => ({
  ...template,
  metadata: { labels: { ...template.metadata.labels, rc } },
});

type PortOf = {
  readonly name?: string;
  readonly targetPort?: number | string;
  readonly protocol?: 'TCP' | 'UDP' | 'SCTP';
};

async function writeByHand(client: Client, name: string, ports: readonly PortOf[], ...ips: string[]): Promise<void> {
  const subset = {
    addresses: ips.map((ip) => ({ ip })),
    ports: ports.map((port) => ({
      name: port.name ?? '',
      port: Number(port.targetPort),
      protocol: port.protocol ?? ('TCP' as const),
    })),
  };
  const subsets = ips.length === 0 ? [] : [subset];
  const key = makeKey(namespace, name);
  const before = await client.get('endpoints', key);
  if (before === undefined) await client.create('endpoints', { metadata: { name, namespace }, subsets });
  else await client.update('endpoints', { ...before, subsets });
}
