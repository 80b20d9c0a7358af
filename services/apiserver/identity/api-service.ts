import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { makeKey } from '../../../lib/api/keys.ts';
import type { Service } from '../../../lib/api/objects.ts';
import { splitAddress } from '../../../lib/base/telemetry.ts';
import { hasReason } from '../../../lib/base/errors.ts';
import type { Registry } from '../registry/registry.ts';

/** The Service under which pods reach the API; it has the first address of the range. */
const key = { namespace: 'default', name: 'kubernetes' } as const;
/** What is behind them is each apiserver's own, by name. The first is what clients of Kubernetes look for. */
const ports = [
  { name: 'https', port: 443, protocol: 'TCP', targetPort: 'https' },
  { name: 'grpc', port: 7400, protocol: 'TCP', targetPort: 'grpc' },
] as const;

/** The doors for pods, by the names of the ports of the Service. */
export type ApiPort = (typeof ports)[number]['name'];

/** The address at which pods reach a door that listens at `listening` (`host:port`); `advertise` says it where the machine cannot know. */
export async function podAddress(listening: string, advertise: string): Promise<string> {
  const { host } = splitAddress(listening);
  return advertise !== '' ? advertise : host === '0.0.0.0' || host === '::' ? ownAddress() : host;
}

/**
 * Sees to the Service `default/kubernetes`, under which pods find the API by name, address and variables like any other
 * Service; `Presence` keeps its Endpoints. What others added to it stays. A second call writes nothing.
 */
export async function ensureApiService(registry: Registry): Promise<void> {
  const place = makeKey(key.namespace, key.name);
  const found = await registry.get('services', place);
  if (found !== undefined) {
    const { spec } = JSON.parse(found.json.toString('utf8')) as Service;
    const has = ports.every(({ name, port }) => spec.ports?.some((each) => each.name === name && each.port === port));
    if (has) return;
    await registry.patch('services', place, { spec: { selector: null, ports } }, {});
    return;
  }
  const metadata = { ...key, labels: { component: 'apiserver', provider: 'kubernetes' } };
  try {
    await registry.create('services', key.namespace, { metadata, spec: { type: 'ClusterIP', ports } }, {});
  } catch (error) {
    if (!hasReason(error, 'AlreadyExists')) throw error; // another apiserver was quicker
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
