import type { Pod } from '../../lib/api/objects.ts';

/**
 * Kernel settings that concern the pod's own namespaces only and cannot starve others of the node: any pod may set these. Each
 * other one takes the node's leave (`--allowed-sysctls`).
 */
const safe: ReadonlySet<string> = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ping_group_range',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.tcp_wmem',
]);

export type SysctlScope = 'network' | 'ipc';

/** The namespace that a setting belongs to; undefined for one of the whole node, which no pod may touch. */
export function scopeOf(name: string): SysctlScope | undefined {
  const dotted = dottedName(name);
  if (dotted.startsWith('net.')) return 'network';
  return /^(kernel\.(shm|msg)|fs\.mqueue\.)/.test(dotted) || dotted === 'kernel.sem' ? 'ipc' : undefined;
}

/** `net/ipv4/tcp_rmem` and `net.ipv4.tcp_rmem` are one. */
export const dottedName = (name: string): string => name.replaceAll('/', '.');

/** Why a pod may not have the settings it asks for; undefined where it may. `allowed` has names, and beginnings that end in `*`. */
export function refusedSysctl({ spec }: Pod, allowed: readonly string[]): string | undefined {
  for (const { name } of spec.securityContext.sysctls ?? []) {
    const dotted = dottedName(name);
    const scope = scopeOf(dotted);
    if (scope === undefined) return `sysctl "${name}" belongs to the whole node, and no pod may set it`;
    if (scope === 'network' && spec.hostNetwork === true)
      return `sysctl "${name}" would change the node's own network: the pod has hostNetwork`;
    if (scope === 'ipc' && spec.hostIPC === true)
      return `sysctl "${name}" would change the node's own IPC: the pod has hostIPC`;
    const isAllowed = allowed.some((rule) =>
      rule.endsWith('*') ? dotted.startsWith(rule.slice(0, -1)) : dotted === dottedName(rule),
    );
    if (!safe.has(dotted) && !isAllowed)
      return `sysctl "${name}" is not among those that this node allows (--allowed-sysctls)`;
  }
  return undefined;
}
