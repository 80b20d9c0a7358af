import type { Pod, Service } from '../lib/api/objects.ts';
import { declaredLinks } from '../lib/api/service-links.ts';

/** What Services may add to a container's environment: more would keep programs from starting at all ("argument list too long"). */
export const mostVariables = 1_000;
export const mostBytes = 64 * 1024;

export interface ServiceLinks {
  /** In their order; later ones win. */
  readonly variables: readonly (readonly [name: string, value: string])[];
  /** Services that were meant and did not fit. */
  readonly left: number;
}

/**
 * The variables that tell a pod of Services that there are now (F143): of `kubernetes` always, of those of its namespace unless
 * `enableServiceLinks` is false, and then of those that it declares. In order of name, whole Services only, until the bound is reached; who
 * declares comes first by naming fewer.
 */
export function serviceLinks(pod: Pod, services: readonly Service[], apiService: Service | undefined): ServiceLinks {
  const declared = declaredLinks(pod);
  const wanted = pod.spec.enableServiceLinks
    ? services.filter(({ metadata }) => declared === undefined || declared.has(metadata.name))
    : [];
  const variables = apiService === undefined ? [] : serviceVariables(apiService);
  let bytes = 0;
  let count = 0;
  let left = 0;
  for (const service of wanted.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))) {
    const own = serviceVariables(service);
    const size = own.reduce((sum, [name, value]) => sum + name.length + value.length + 2, 0);
    if (own.length === 0) continue;
    if (left > 0 || count + own.length > mostVariables || bytes + size > mostBytes) {
      left++;
      continue;
    }
    count += own.length;
    bytes += size;
    variables.push(...own);
  }
  return { variables, left };
}

/** The variables that tell of one Service (API spec 3.5); headless ones and those without an address have none. */
function serviceVariables(service: Service): [name: string, value: string][] {
  const { clusterIP: ip, ports = [] } = service.spec;
  if (ip === undefined || ip === '' || ip === 'None') return [];
  const prefix = variableName(service.metadata.name);
  const first = ports[0];
  const host: [string, string] = [`${prefix}_SERVICE_HOST`, ip];
  if (first === undefined) return [host];
  return [
    host,
    [`${prefix}_SERVICE_PORT`, String(first.port)],
    [`${prefix}_PORT`, `${first.protocol.toLowerCase()}://${ip}:${first.port}`],
    ...ports.flatMap(({ name, port, protocol }): [string, string][] => {
      const of = `${prefix}_PORT_${port}_${protocol}`;
      const lower = protocol.toLowerCase();
      return [
        ...(name === undefined || name === ''
          ? []
          : [[`${prefix}_SERVICE_PORT_${variableName(name)}`, String(port)] as [string, string]]),
        [of, `${lower}://${ip}:${port}`],
        [`${of}_PROTO`, lower],
        [`${of}_PORT`, String(port)],
        [`${of}_ADDR`, ip],
      ];
    }),
  ];
}

const variableName = (text: string): string => text.toUpperCase().replaceAll('-', '_');
