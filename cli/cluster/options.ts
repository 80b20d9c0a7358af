import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { engineRunDir } from './engine-parts.ts';
import type { ClusterOptions } from './part.ts';
import { engineAnswers } from './preflight.ts';

/** The flags of `troupe up` that say how the cluster is, with commander's names. */
export interface UpFlags {
  readonly data: string;
  readonly cluster: string;
  readonly port: string;
  readonly httpsPort: string;
  readonly natsPort: string;
  readonly telemetryPort: string;
  readonly node?: string;
  readonly dockerSocket: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly clusterDns: string;
  readonly proxyMode: string;
  readonly loadBalancerPool: string;
  readonly together?: boolean;
}

export const defaultDataDir = process.env['TROUPE_DATA'] ?? '/var/lib/troupe';
const machineSocket = '/var/run/docker.sock';

/** Where the bundles are: beside this one when bundled, else in the clone's dist/. */
export function distFolder(): string {
  const here = fileURLToPath(new URL('.', import.meta.url));
  return here.endsWith('/dist/') ? here : join(here, '../../dist');
}

/** Decides what the flags leave open. Throws an Error with a sentence when a flag makes no sense. */
export async function clusterOptions(flags: UpFlags): Promise<ClusterOptions> {
  return {
    cluster: flags.cluster,
    dataDir: flags.data,
    distDir: distFolder(),
    host: '127.0.0.1',
    apiPort: portOf('--port', flags.port),
    httpsPort: portOf('--https-port', flags.httpsPort),
    natsPort: portOf('--nats-port', flags.natsPort),
    telemetryPort: portOf('--telemetry-port', flags.telemetryPort),
    nodeName: flags.node ?? hostname().toLowerCase(),
    ...(await engineOf(flags)),
    clusterCidr: flags.clusterCidr,
    serviceCidr: flags.serviceCidr,
    clusterDns: flags.clusterDns,
    proxyMode: flags.proxyMode,
    loadBalancerPool: flags.loadBalancerPool,
    together: flags.together === true,
  };
}

/** `auto`: the machine's own engine when one answers, else one in the data folder; `own`: always that one; else a socket's path. */
async function engineOf(flags: UpFlags): Promise<{ readonly dockerSocket: string; readonly ownEngine: boolean }> {
  const own = { dockerSocket: join(engineRunDir(flags.data), 'docker.sock'), ownEngine: true };
  if (flags.dockerSocket === 'own') return own;
  if (flags.dockerSocket !== 'auto') return { dockerSocket: flags.dockerSocket, ownEngine: false };
  return (await engineAnswers(machineSocket)) ? { dockerSocket: machineSocket, ownEngine: false } : own;
}

function portOf(flag: string, text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 60_000)
    throw new Error(`${flag}: "${text}" is not a port: give a number from 1 to 60000`);
  return port;
}
