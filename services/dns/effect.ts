import { mostBackendsTold, type ServiceEffect } from '../../lib/api/effects.ts';
import type { Entry, Host } from './zone.ts';

/** What the names of one service answer, in words for people and programs. */
export function effectOf(entry: Entry, domain: string): ServiceEffect {
  const answers = answersOf(entry);
  return {
    serviceRevision: entry.revision,
    endpointsRevision: entry.endpoints?.metadata.resourceVersion ?? '',
    ports: [
      {
        frontends: [`${entry.name}.${entry.namespace}.svc.${domain}`],
        backends: answers.slice(0, mostBackendsTold),
        count: answers.length,
      },
    ],
  };
}

function answersOf({ externalName, clusterIP, hosts }: Entry): readonly string[] {
  if (externalName !== undefined) return [externalName];
  return clusterIP === undefined ? hosts.map(({ ip }) => ip) : [clusterIP];
}

/** One sentence when two entries would answer differently. */
export function entryDifference(is: Entry | undefined, wanted: Entry | undefined): string | undefined {
  if (is === undefined || wanted === undefined) {
    if (is === wanted) return undefined;
    return is === undefined ? `missing: names of ${wanted?.key ?? ''}` : `not wanted: names of ${is.key}`;
  }
  const [has, should] = [textOf(is), textOf(wanted)];
  return has === should ? undefined : `${is.key} with ${has} where ${should} is wanted`;
}

function textOf({ externalName, clusterIP, ports, hosts }: Entry): string {
  const own = [externalName, clusterIP, portsText(ports), ...hosts.map(hostText)];
  return own.filter((part) => part !== undefined && part !== '').join(' ') || 'nothing';
}

const hostText = ({ label, ip, ports }: Host): string => `${label}=${ip}${portsText(ports)}`;
const portsText = (ports: ReadonlyMap<string, number>): string =>
  [...ports].map(([name, port]) => `${name}:${port}`).join(',');
