import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ClusterOptions } from './layout.ts';
import { engineAnswers } from './preflight.ts';

/** The flags of `troupe up` that say how the cluster is, with commander's names. */
export interface UpFlags {
  readonly data: string;
  readonly cluster: string;
  readonly port: string;
  readonly natsPort: string;
  readonly telemetryPort: string;
  readonly node?: string;
  readonly dockerSocket: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly clusterDns: string;
  readonly proxyMode: string;
}

export const defaultDataDir = process.env['TROUPE_DATA'] ?? '/var/lib/troupe';
const machineSocket = '/var/run/docker.sock';

/** Where the bundles are: beside this one when bundled, else in the clone's dist/. */
export function distFolder(): string {
  const here = fileURLToPath(new URL('.', import.meta.url));
  return here.endsWith('/dist/') ? here : join(here, '../../dist');
}

/** Decides what the flags leave open: the machine's own engine when one answers, else one in the data folder. */
export async function clusterOptions(flags: UpFlags): Promise<ClusterOptions> {
  const wanted = flags.dockerSocket;
  const useMachines = wanted !== 'auto' ? true : await engineAnswers(machineSocket);
  return {
    cluster: flags.cluster,
    dataDir: flags.data,
    distDir: distFolder(),
    host: '127.0.0.1',
    apiPort: Number(flags.port),
    natsPort: Number(flags.natsPort),
    telemetryPort: Number(flags.telemetryPort),
    nodeName: flags.node ?? hostname().toLowerCase(),
    dockerSocket: wanted !== 'auto' ? wanted : useMachines ? machineSocket : join(flags.data, 'docker', 'docker.sock'),
    ownEngine: !useMachines,
    clusterCidr: flags.clusterCidr,
    serviceCidr: flags.serviceCidr,
    clusterDns: flags.clusterDns,
    proxyMode: flags.proxyMode,
  };
}
