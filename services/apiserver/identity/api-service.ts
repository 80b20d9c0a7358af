import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { makeKey } from '../../../lib/api/keys.ts';
import { sameJson } from '../../../lib/api/json.ts';
import { splitAddress } from '../../../lib/base/telemetry.ts';
import { hasReason } from '../../../lib/base/errors.ts';
import type { Registry } from '../registry/registry.ts';

/** The Service under which pods reach the API; it has the first address of the range. */
const key = { namespace: 'default', name: 'kubernetes' } as const;
const port = { name: 'grpc', port: 443, protocol: 'TCP' } as const;

/**
 * Makes the Service `default/kubernetes` lead to `listening` (`host:port`), so that pods find the API by name, address and
 * variables like any other Service. A second call with the same address writes nothing.
 */
export async function publishApi(registry: Registry, listening: string, advertise: string): Promise<string> {
  const { host, port: targetPort } = splitAddress(listening);
  const ip = advertise !== '' ? advertise : host === '0.0.0.0' || host === '::' ? await ownAddress() : host;
  const meta = { ...key, labels: { component: 'apiserver', provider: 'kubernetes' } };
  const service = {
    ...{ apiVersion: 'v1', kind: 'Service', metadata: meta },
    spec: { type: 'ClusterIP', ports: [{ ...port, targetPort }] },
  };
  const endpoints = {
    ...{ apiVersion: 'v1', kind: 'Endpoints', metadata: meta },
    subsets: [{ addresses: [{ ip }], ports: [{ name: port.name, port: targetPort, protocol: port.protocol }] }],
  };
  await put(registry, 'services', service, (found) => {
    const { spec } = found as { readonly spec: { readonly ports?: readonly { readonly targetPort?: unknown }[] } };
    return spec.ports?.[0]?.targetPort === targetPort;
  });
  await put(registry, 'endpoints', endpoints, (found) =>
    sameJson((found as { readonly subsets?: unknown }).subsets, endpoints.subsets),
  );
  return `${ip}:${targetPort}`;
}

async function put(
  registry: Registry,
  resource: 'services' | 'endpoints',
  object: object,
  isCurrent: (found: object) => boolean,
): Promise<void> {
  const place = makeKey(key.namespace, key.name);
  const found = await registry.get(resource, place);
  if (found !== undefined && isCurrent(JSON.parse(found.json.toString('utf8')) as object)) return;
  try {
    if (found === undefined) await registry.create(resource, key.namespace, structuredClone(object), {});
    else await registry.update(resource, place, structuredClone(object), {});
  } catch (error) {
    // A Service brings its Endpoints along, and another apiserver may have been quicker: then it is there to be changed.
    if (!hasReason(error, 'AlreadyExists')) throw error;
    await registry.update(resource, place, structuredClone(object), {});
  }
}

/** The address of the default route's device: a socket that is connected has it, and nothing is sent. Else the first that is not loopback. */
async function ownAddress(): Promise<string> {
  const routed = await new Promise<string | undefined>((resolve) => {
    const socket = createSocket('udp4');
    const finish = (address?: string): void => {
      socket.close();
      resolve(address);
    };
    socket.once('error', () => {
      finish();
    });
    socket.connect(9, '192.0.2.1', () => {
      finish(socket.address().address);
    });
  });
  if (routed !== undefined) return routed;
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const found = all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
  if (found !== undefined) return found;
  throw new Error('--pod-listen: this machine has no address that pods could reach; name one with --pod-advertise');
}
