import { readFile } from 'node:fs/promises';
import type { Connections } from './pod-network.ts';
import { runCommand } from './run-command.ts';

/** A connection without data either way for so long is at rest, if the last word was the pod's. */
export const restMs = 100;
/**
 * The same, where the kernel's clock is too coarse to tell whose word was the last, and for a connection on which the client has said nothing yet:
 * one that is short of processor time opens it and asks some hundred milliseconds later.
 */
const unclearRestMs = 1_000;
const lookTimeoutMs = 2_000;

/**
 * Looks at the connections into the network namespace of a process. Rejects when that cannot be looked at.
 *
 * The kernel's table of sockets says in 0.1 ms whether there is any connection at all, which mostly there is not; only if there is, `ss` is asked
 * when each of them last carried data (some 10 ms of a CPU).
 */
export async function connectionsInto(pid: number): Promise<Connections> {
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((name) => readFile(`/proc/${pid}/net/${name}`, 'utf8').catch(() => '')),
  );
  const { open, listening } = readSocketTable(tables.join('\n'));
  if (open === 0) return { open, busy: 0 };
  const args = [`--net=/proc/${pid}/ns/net`, 'ss', '-tinH', 'state', 'connected', 'exclude', 'time-wait'];
  const { exitCode, stdout, stderr } = await runCommand('nsenter', args, { timeoutMs: lookTimeoutMs });
  if (exitCode !== 0) throw new Error(`ss: ${stderr.trim().slice(0, 300)}`);
  const connections = readActivity(stdout).filter(({ port, peer }) => listening.has(port) && !isLoopback(peer));
  return { open: connections.length, busy: connections.filter(isBusy).length };
}

const states = { timeWait: '06', close: '07', listen: '0A' } as const;

/** How many connections a namespace has that came in from outside, and the ports that it listens on, of `/proc/net/tcp` and `tcp6`. */
export function readSocketTable(text: string): { readonly open: number; readonly listening: ReadonlySet<number> } {
  const listening = new Set<number>();
  const ports: number[] = [];
  for (const line of text.split('\n')) {
    const [, local = '', remote = '', state = ''] = line.trim().split(/\s+/);
    const port = Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16);
    if (Number.isNaN(port)) continue;
    if (state === states.listen) listening.add(port);
    else if (state !== states.timeWait && state !== states.close && !isLoopbackHex(remote)) ports.push(port);
  }
  return { open: ports.filter((port) => listening.has(port)).length, listening };
}

/** What the kernel knows of one connection. Times in ms. */
export interface Activity {
  /** Of the pod. */
  readonly port: number;
  readonly peer: string;
  /** Bytes that the program has not read, or that the other side has not confirmed. */
  readonly queued: number;
  readonly received: number;
  readonly sinceSentMs: number;
  readonly sinceReceivedMs: number;
  readonly sinceConfirmedMs: number;
}

/** The records of `ss -tin`: addresses on one line, figures on the next; a figure of 0 is left out. */
export function readActivity(text: string): Activity[] {
  const found: Activity[] = [];
  const lines = text.split('\n');
  for (const [i, line] of lines.entries()) {
    if (line === '' || /^\s/.test(line)) continue;
    const [, received = '0', sent = '0', local = '', peer = ''] =
      /^(?:[A-Z][A-Z0-9-]*\s+)?(\d+)\s+(\d+)\s+(\S+)\s+(\S+)/.exec(line) ?? [];
    const figures = lines[i + 1] ?? '';
    const figure = (name: string): number => Number(new RegExp(`(?:^|\\s)${name}:(\\d+)`).exec(figures)?.[1] ?? 0);
    found.push({
      port: Number(local.slice(local.lastIndexOf(':') + 1)),
      peer: peer.slice(0, peer.lastIndexOf(':')),
      queued: Number(received) + Number(sent),
      received: figure('bytes_received'),
      sinceSentMs: figure('lastsnd'),
      sinceReceivedMs: figure('lastrcv'),
      sinceConfirmedMs: figure('lastack'),
    });
  }
  return found;
}

/**
 * Whether a stop would cut something short. A client that spoke last waits for an answer, however long that takes. Where both spoke
 * in the same tick of the kernel's clock, a confirmation that came later says that the answer was the last; without it, longer silence must do.
 */
export function isBusy({ queued, received, sinceSentMs, sinceReceivedMs, sinceConfirmedMs }: Activity): boolean {
  if (queued > 0) return true;
  const silentMs = Math.min(sinceSentMs, sinceReceivedMs);
  if (received === 0) return silentMs < unclearRestMs;
  if (sinceSentMs < sinceReceivedMs) return silentMs < restMs;
  if (sinceReceivedMs < sinceSentMs) return true;
  return silentMs < (sinceConfirmedMs < sinceReceivedMs ? restMs : unclearRestMs);
}

const isLoopback = (address: string): boolean => /^(127\.|\[?::1\]?$|\[?::ffff:127\.)/.test(address);
/** As in `/proc/net/tcp`: 127.0.0.1 is 0100007F. */
const isLoopbackHex = (address: string): boolean =>
  /^[0-9A-F]{6}7F:/.test(address) || /^0{24}01000000:/.test(address) || /^0{16}FFFF0000[0-9A-F]{6}7F:/.test(address);
