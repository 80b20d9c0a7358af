import { newClient } from '../../lib/client/grpc-client.ts';
import { makeKey } from '../../lib/api/keys.ts';
import type { Endpoints } from '../../lib/api/objects.ts';
import { serveRequests } from './netns-requests.ts';

/** Writes services and endpoints from inside a test network, whose API the test itself cannot reach. */
const client = newClient({ address: '127.0.0.1:7400' });

serveRequests({
  /** Resolves to the cluster address. */
  async service({
    name,
    ports,
    spec = {},
    annotations = {},
  }: {
    readonly name: string;
    readonly ports: readonly object[];
    readonly spec?: object;
    readonly annotations?: Readonly<Record<string, string>>;
  }) {
    const draft = { metadata: { name, namespace: 'default', annotations }, spec: { ports, ...spec } };
    return (await client.create('services', draft)).spec.clusterIP;
  },
  deleteService: async ({ name }: { readonly name: string }) => {
    await client.delete('services', makeKey('default', name));
  },
  /** Sets the ready addresses of a service; resolves to the revision. */
  async endpoints({
    name,
    ips,
    port,
  }: {
    readonly name: string;
    readonly ips: readonly string[];
    readonly port: number;
  }) {
    const addresses = ips.map((ip) => ({ ip }));
    const subsets = ips.length === 0 ? [] : [{ addresses, ports: [{ port, protocol: 'TCP' as const }] }];
    const before = await client.get('endpoints', makeKey('default', name));
    const after =
      before === undefined
        ? await client.create('endpoints', { metadata: { name, namespace: 'default' }, subsets })
        : await client.update('endpoints', { ...before, subsets } satisfies Endpoints);
    return after.metadata.resourceVersion;
  },
});
