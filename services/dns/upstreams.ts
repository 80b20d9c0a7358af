import { readFileSync, statSync } from 'node:fs';
import { parseIp } from '../../lib/api/net.ts';

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
