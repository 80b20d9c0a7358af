import { makeKey } from '../../../../lib/api/keys.ts';
import type { Endpoints, Pod, Service } from '../../../../lib/api/objects.ts';
import { ApiError, notFound } from '../../../../lib/base/errors.ts';
import type { Registry } from '../../registry/registry.ts';

/** Where a request goes: a port of a pod. */
export interface ProxyTarget {
  readonly pod: string;
  readonly port: number;
  readonly scheme: 'http' | 'https';
}

interface Named {
  readonly scheme: 'http' | 'https';
  readonly name: string;
  /** A number or a name; empty: the first. */
  readonly port: string;
}

/** `[http|https]:name[:port]`, as paths of proxies name what they lead to. BadRequest for what is none. */
export function parseTarget(text: string): Named {
  const [first = '', second, third, more] = text.split(':');
  if (second !== undefined && third !== undefined && more === undefined && (first === 'http' || first === 'https'))
    return { scheme: first, name: second, port: third };
  if (third === undefined && first !== '') return { scheme: 'http', name: first, port: second ?? '' };
  throw new ApiError(
    'BadRequest',
    `${JSON.stringify(text)} must be <name>, <name>:<port> or <http|https>:<name>:<port>`,
  );
}

/** The port of a pod that a text means. BadRequest where it has none such. */
export function portOfPod(pod: Pod, text: string): number {
  const ports = pod.spec.containers.flatMap((container) => container.ports ?? []);
  const number = numberIn(text);
  const port =
    text === '' ? ports[0]?.containerPort : (number ?? ports.find(({ name }) => name === text)?.containerPort);
  if (port !== undefined) return port;
  const which = text === '' ? 'names no port' : `has no port ${JSON.stringify(text)}`;
  throw new ApiError('BadRequest', `pod "${pod.metadata.name}" ${which}: ask for <name>:<port>`);
}

/** The pods that can answer for a port of a Service. BadRequest where it has none such, ServiceUnavailable where nobody is ready. */
export function podsOfService(
  service: Service,
  endpoints: Endpoints | undefined,
  text: string,
): readonly Omit<ProxyTarget, 'scheme'>[] {
  const { name } = service.metadata;
  const ports = service.spec.ports ?? [];
  const number = numberIn(text);
  const meant =
    text === '' ? ports[0] : ports.find((port) => (number === undefined ? port.name === text : port.port === number));
  if (meant === undefined)
    throw new ApiError(
      'BadRequest',
      `service "${name}" has no port ${JSON.stringify(text)}; it has ${ports.map((port) => port.name ?? port.port).join(', ')}`,
    );
  const found = (endpoints?.subsets ?? []).flatMap((subset) => {
    const port = subset.ports?.find((each) => (each.name ?? '') === (meant.name ?? ''))?.port;
    const pods = (subset.addresses ?? []).flatMap(({ targetRef }) =>
      targetRef?.kind === 'Pod' ? [targetRef.name] : [],
    );
    return port === undefined ? [] : pods.flatMap((pod) => (pod === undefined ? [] : [{ pod, port }]));
  });
  if (found.length === 0) throw new ApiError('ServiceUnavailable', `no pod of service "${name}" is ready`);
  return found;
}

const numberIn = (text: string): number | undefined => (/^\d{1,5}$/.test(text) ? Number(text) : undefined);

/** What the path of a proxy leads to now. NotFound for what is not there. */
export async function findTarget(
  registry: Registry,
  at: { readonly resource: string; readonly namespace: string; readonly name: string },
  random: () => number,
): Promise<ProxyTarget> {
  const { scheme, name, port } = parseTarget(at.name);
  const read = async <T>(resource: string): Promise<T | undefined> => {
    const served = await registry.get(resource, makeKey(at.namespace, name));
    return served === undefined ? undefined : (JSON.parse(served.json.toString('utf8')) as T);
  };
  if (at.resource === 'pods') {
    const pod = await read<Pod>('pods');
    if (pod === undefined) throw notFound('pods', name);
    return { scheme, pod: name, port: portOfPod(pod, port) };
  }
  const [service, endpoints] = await Promise.all([read<Service>('services'), read<Endpoints>('endpoints')]);
  if (service === undefined) throw notFound('services', name);
  const pods = podsOfService(service, endpoints, port);
  const chosen = pods[Math.floor(random() * pods.length)] ?? pods[0];
  if (chosen === undefined) throw new ApiError('ServiceUnavailable', `no pod of service "${name}" is ready`);
  return { scheme, ...chosen };
}
