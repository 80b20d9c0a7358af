import { readFileSync, statSync } from 'node:fs';
import { parseIp } from '../../lib/api/net.ts';
import { listOf } from '../../lib/base/config.ts';

/** Another DNS server. */
export interface Upstream {
  readonly host: string;
  readonly port: number;
}

export const formatUpstream = ({ host, port }: Upstream): string => (port === 53 ? host : `${host}:${port}`);

/** `192.0.2.1` or `192.0.2.1:5353`. Throws an Error that says what is wrong. */
export function parseUpstream(text: string): Upstream {
  const [host = '', port = '53', ...more] = text.split(':');
  if (parseIp(host) === undefined || more.length > 0)
    throw new Error(`"${text}" is not an IPv4 address with or without a port`);
  const number = Number(port);
  if (!Number.isInteger(number) || number < 1 || number > 65535)
    throw new Error(`"${port}" is not a port (1 to 65535)`);
  return { host, port: number };
}

/** A domain that has servers of its own. */
export interface StubDomain {
  /** In lower case, without the dot at the end. */
  readonly domain: string;
  readonly upstreams: readonly Upstream[];
}

/** `Cluster.Local.` is `cluster.local`. Throws an Error where it is no domain. */
export function parseDomain(text: string): string {
  const domain = text.toLowerCase().replace(/\.$/, '');
  if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(domain))
    throw new Error(`"${text}" is not a domain such as cluster.local`);
  return domain;
}

/** `corp.internal=10.0.0.53,10.0.0.54;lab=10.1.0.53`. Throws an Error that says what is wrong. */
export function parseStubDomains(text: string): StubDomain[] {
  const parts = text.split(';').map((part) => part.trim());
  const stubs = parts
    .filter((part) => part !== '')
    .map((part): StubDomain => {
      const [domain = '', servers = '', ...more] = part.split('=');
      const upstreams = listOf(servers).map(parseUpstream);
      if (more.length > 0 || upstreams.length === 0) throw new Error(`"${part}" is not domain=address,…`);
      return { domain: parseDomain(domain.trim()), upstreams };
    });
  const twice = stubs.find(({ domain }, i) => stubs.findIndex((each) => each.domain === domain) !== i);
  if (twice !== undefined) throw new Error(`${twice.domain} is there twice; write its servers with commas`);
  return stubs;
}

/** Whom to ask about a name: the servers of the longest domain that it is in, else the others. */
export function serversFor(
  stubs: readonly StubDomain[],
  others: () => readonly Upstream[],
): (name: string) => readonly Upstream[] {
  const longestFirst = stubs.toSorted((a, b) => b.domain.length - a.domain.length);
  return (name) =>
    longestFirst.find(({ domain }) => name === domain || name.endsWith(`.${domain}`))?.upstreams ?? others();
}

/** The servers that a resolv.conf(5) names, in its order, without ourselves: asking us again would never end. */
export function readResolvConf(text: string, own: readonly Upstream[]): Upstream[] {
  const servers = [...text.matchAll(/^\s*nameserver\s+([0-9.]+)\s*$/gm)].map(([, host = '']) => ({ host, port: 53 }));
  return servers.filter(
    ({ host }) => parseIp(host) !== undefined && !own.some((self) => self.host === host && self.port === 53),
  );
}

/** How often the machine's file is looked at again, at most, and only while there are questions to forward. */
const rereadMs = 5_000;

/** The machine's own resolvers, followed when the file changes: a laptop that moves gets new ones. */
export function machineUpstreams(
  file: string,
  own: readonly Upstream[],
  nowMs: () => number,
): () => readonly Upstream[] {
  let servers: readonly Upstream[] = [];
  let stamp = '';
  let readAt = -Infinity;
  return () => {
    if (nowMs() - readAt < rereadMs) return servers;
    readAt = nowMs();
    try {
      const { mtimeMs, size, ino } = statSync(file);
      const now = `${mtimeMs} ${size} ${ino}`;
      if (now !== stamp) {
        servers = readResolvConf(readFileSync(file, 'utf8'), own);
        stamp = now;
      }
    } catch {
      // Gone for the moment, as while it is being rewritten: what it said last still holds.
    }
    return servers;
  };
}
