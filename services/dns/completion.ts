import type { Zone } from './zone.ts';

/**
 * A pod's resolver tries each name with dots but fewer than `ndots` along its search path first: `api.github.com` as
 * `api.github.com.default.svc.cluster.local`, then under `svc.cluster.local`, then under `cluster.local`, then as it is, each for A and AAAA.
 * This walks the path at once for the first of these: a name of the cluster further down the path, else the bare name (D13).
 * Undefined when `name`, which does not exist, is not of that form.
 */
export function meantBy(name: string, domain: string, zone: Zone): string | undefined {
  const tree = `.svc.${domain}`;
  if (!name.endsWith(tree)) return undefined;
  const labels = name.slice(0, -tree.length).split('.');
  const namespace = labels.pop();
  const service = labels.at(-1);
  if (namespace === undefined || service === undefined || labels.length < 2) return undefined;
  // `api.github.com.svc.cluster.local` is the second step of the path, and `com` no namespace: it was walked with the first.
  if (!zone.hasNamespace(namespace)) return undefined;
  if (labels.some((label) => label === '' || label.startsWith('_'))) return undefined;
  // A host of a service that has no such host now: not there, and nobody else's business.
  if (exists(zone, `${service}.${namespace}${tree}`)) return undefined;

  const bare = labels.join('.');
  const inside = [`${bare}${tree}`, `${bare}.${domain}`, bare].find((candidate) => exists(zone, candidate));
  if (inside !== undefined) return inside;
  return bare === domain || bare.endsWith(`.${domain}`) ? undefined : bare;
}

const exists = (zone: Zone, name: string): boolean => zone.lookup(name, 'A').kind === 'found';
