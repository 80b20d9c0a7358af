import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

/**
 * Below the range from which the kernel takes ports for connections and for whoever asks for any (32768 and above): a port of that
 * range may be another's by the time that it is used, and who connects to it while nobody listens may meet itself.
 */
const [lowest, highest] = [20_000, 28_000];
const given = new Set<number>();

/** A port that nobody has now, and that this process was not given before. */
export const freePort = (): Promise<number> => freePorts(1);

/** The first of `count` neighbours like that. */
export async function freePorts(
  count: number,
  also: (first: number) => Promise<boolean> = () => Promise.resolve(true),
) {
  for (;;) {
    const first = lowest + Math.floor(Math.random() * (highest - lowest - count));
    const all = Array.from({ length: count }, (_, i) => first + i);
    if (all.some((port) => given.has(port))) continue;
    for (const port of all) given.add(port);
    if ((await Promise.all(all.map(isFree))).every(Boolean) && (await also(first))) return first;
  }
}

/** By TCP and by UDP, on every address. */
export async function isFree(port: number): Promise<boolean> {
  return (await isFreeByTcp(port)) && (await isFreeByUdp(port));
}

function isFreeByTcp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '0.0.0.0', () => server.close(() => resolve(true)));
  });
}

function isFreeByUdp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', () => socket.close(() => resolve(false)));
    socket.bind(port, '0.0.0.0', () => socket.close(() => resolve(true)));
  });
}
