import { hostname } from 'node:os';
import { join } from 'node:path';
import { formatIp, parseCidr } from '../../../lib/api/net.ts';
import type { ServiceContext } from '../../../lib/base/lifecycle.ts';
import { splitAddress } from '../../../lib/base/telemetry.ts';
import type { apiserverOptions } from '../config.ts';
import { newFanOut } from '../door/fan-out.ts';
import { loadCertificates, type Certificates } from '../identity/certificates.ts';
import type { Identities } from '../identity/identities.ts';
import type { Registry } from '../registry/registry.ts';
import { noNodeStreams, type NodeStreams } from '../streams/node-streams.ts';
import { newUsage, type AskNode } from '../usage/usage.ts';
import { newRestDoor } from './door.ts';
import { newGate } from './gate.ts';
import { newRestServer } from './http.ts';
import { newRestMetrics } from './metrics.ts';
import { newUpgrade } from './streams/upgrade.ts';

export interface Behind {
  readonly registry: Registry;
  readonly identities: Identities;
  readonly streams?: NodeStreams;
  readonly askNode?: AskNode;
}

type Context = ServiceContext<typeof apiserverOptions>;

/** The certificates of the cluster, made where they are missing; undefined where REST is served to nobody. */
export async function restCertificates({ config, clock }: Context): Promise<Certificates | undefined> {
  if (config.httpsListen === '' && config.podHttpsListen === '') return undefined;
  const folder = config.certificates === '' ? join(config.data, 'pki') : config.certificates;
  const own = config.httpsListen === '' ? [] : [splitAddress(config.httpsListen).host];
  const hosts = [...namesOf(config.serviceCidr, own), ...config.httpsNames];
  return loadCertificates(folder, [...new Set(hosts)], clock.now());
}

/** Serves REST over TLS until the process stops; resolves to where it listens, for everybody and for pods. */
export async function startRest(
  context: Context,
  { authority, server }: Certificates,
  { registry, identities, streams = noNodeStreams, askNode }: Behind,
): Promise<{ readonly everybody?: string; readonly pods?: string }> {
  const { config, clock, telemetry } = context;
  const metrics = newRestMetrics(telemetry.meter);
  const door = newRestDoor({
    ...{ registry, identities, streams, clock },
    fanOut: newFanOut(registry),
    usage: newUsage(registry, askNode),
    random: Math.random,
    checks: () => telemetry.checks(),
    metrics: () => telemetry.metrics(),
  });
  const upgrade = newUpgrade({ registry, identities, streams, clock, metrics });
  const gate = newGate(door, { clock, metrics });
  const listen = async (address: string, flag: string, clientCa?: string): Promise<string | undefined> => {
    if (address === '') return undefined;
    const certificate = { ...server, ...(clientCa === undefined ? {} : { clientCa }) };
    const rest = newRestServer({ door: gate, upgrade, certificate, flag });
    const listening = await rest.start(address);
    context.onStop(`rest at ${listening}`, () => rest.stop());
    return listening;
  };
  const everybody = await listen(config.httpsListen, '--https-listen', authority.cert);
  const pods = await listen(config.podHttpsListen, '--pod-https-listen');
  return { ...(everybody === undefined ? {} : { everybody }), ...(pods === undefined ? {} : { pods }) };
}

/** Under which the API is known in every cluster: on its machine, and to pods as a Service. */
function namesOf(serviceCidr: string, own: readonly string[]): readonly string[] {
  const cidr = parseCidr(serviceCidr);
  return [
    ...['127.0.0.1', 'localhost', hostname().toLowerCase()],
    ...own.filter((host) => host !== '0.0.0.0' && host !== '::'),
    ...['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'],
    ...(cidr === undefined ? [] : [formatIp(cidr.base + 1)]),
  ];
}
