import { readFileSync, writeFileSync } from 'node:fs';

/** What the kernel should hold for us while the process is busy: some twenty thousand questions. Taken only as far as it is needed. */
export const receiveBuffer = 16 << 20;

const limitFile = '/proc/sys/net/core/rmem_max';

/**
 * Lets a socket have so large a buffer: nobody gets more than the machine's limit, a few hundred questions where nobody has raised it. Returns the
 * limit that holds when that is not possible, as without root or in a container; undefined when all is well.
 */
export function allowReceiveBuffer(): number | undefined {
  try {
    const limit = Number(readFileSync(limitFile, 'utf8'));
    if (!(limit < receiveBuffer)) return undefined;
    try {
      writeFileSync(limitFile, String(receiveBuffer));
      return undefined;
    } catch {
      return limit;
    }
  } catch {
    return undefined; // no such limit here
  }
}

/**
 * Questions that the kernel dropped because nobody read them in time, since the sockets were opened; undefined where it does not say. `port` is that of
 * our sockets; others on the same port of other addresses count too.
 */
export function kernelDrops(ports: ReadonlySet<number>): number | undefined {
  try {
    const [, ...rows] = readFileSync('/proc/net/udp', 'utf8').trim().split('\n');
    return rows.reduce((sum, row) => {
      const fields = row.trim().split(/\s+/);
      const port = parseInt(fields[1]?.split(':')[1] ?? '', 16);
      return ports.has(port) ? sum + Number(fields.at(-1)) : sum;
    }, 0);
  } catch {
    return undefined;
  }
}
