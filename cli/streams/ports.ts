import type { Pod, Service } from '../../lib/api/objects.ts';
import { ApiError } from '../../lib/base/errors.ts';
import { UsageError } from '../shell.ts';

export interface PortPair {
  /** 0: any free one. */
  readonly local: number;
  /** A number, or the name of a port. */
  readonly remote: number | string;
}

/** Reads `8080:80`, `80`, `:80`, `8080:http`, `:http`. Throws UsageError. */
export function parsePortPair(text: string): PortPair {
  const [first = '', second, ...rest] = text.split(':');
  const remote = portOrName(second ?? first, text);
  const local = second === undefined ? remote : first === '' ? 0 : portOrName(first, text);
  if (rest.length > 0 || typeof local === 'string')
    throw new UsageError(`${text}: write LOCAL:REMOTE, such as 8080:80, or :80 for any free port here`);
  return { local, remote };
}

function portOrName(text: string, whole: string): number | string {
  if (/^[a-z0-9-]*[a-z][a-z0-9-]*$/.test(text)) return text;
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new UsageError(`${whole}: "${text}" is neither a port from 1 to 65535 nor the name of one`);
}

/** The number of a pod's port. Where a Service was named, a number or name is that of its port, which leads to one of the pod. */
export function podPort(remote: number | string, pod: Pod, service: Service | undefined): number {
  if (service === undefined) return typeof remote === 'number' ? remote : containerPort(pod, remote);
  const port = (service.spec.ports ?? []).find((each) => each.port === remote || each.name === remote);
  if (port === undefined) {
    const known = (service.spec.ports ?? []).map((each) =>
      each.name === undefined ? each.port : `${each.port} (${each.name})`,
    );
    throw new ApiError(
      'BadRequest',
      `service/${service.metadata.name} has no port ${remote}; it has ${known.join(', ')}`,
    );
  }
  const target = port.targetPort ?? port.port;
  if (typeof target === 'number') return target === 0 ? port.port : target;
  return containerPort(pod, target);
}

function containerPort(pod: Pod, name: string): number {
  for (const { ports = [] } of pod.spec.containers)
    for (const port of ports) if (port.name === name) return port.containerPort;
  throw new ApiError('BadRequest', `pod/${pod.metadata.name} has no port named "${name}"`);
}
