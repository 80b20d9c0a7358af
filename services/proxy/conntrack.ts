import { run } from './command.ts';
import { keepBase } from './slots.ts';
import type { Frontend } from './table.ts';

/** Which of the kernel's flows: those made to `frontend`, of one backend when given, only those not yet open when `opening`. */
export interface FlowFilter {
  readonly frontend: Frontend;
  readonly backend?: string;
  readonly opening?: boolean;
}

/** From so many filters on, the kernel's list is read first, and only those that have flows are carried out: each costs some milliseconds. */
const many = 20;
/** So many filters go to one process. */
const batchSize = 200;
const timeoutMs = 20_000;
/** The marks of flows through us; see slots.ts. */
const ours = `0x${keepBase.toString(16)}/0xfe000000`;

/**
 * Forgets flows, so that the next packet of such a client is treated as a new connection: UDP goes to a live backend,
 * an open TCP connection is reset by a backend that does not know it, a SYN that is sent again finds a live one.
 * Rejects when the tool is missing or fails; that nothing matched is success.
 */
export async function forgetFlows(filters: readonly FlowFilter[]): Promise<void> {
  const wanted = filters.length < many ? filters : await withFlows(filters);
  for (let i = 0; i < wanted.length; i += batchSize) {
    const lines = wanted.slice(i, i + batchSize).map(commandOf);
    // The tool opens its standard input by name, which fails for the socket that we would give it: hence the pipe.
    const { code, stderr } =
      lines.length === 1
        ? await run('conntrack', (lines[0] ?? '').split(' '), { timeoutMs })
        : await run('sh', ['-c', 'cat | conntrack -R -'], { input: `${lines.join('\n')}\n`, timeoutMs });
    if (code !== 0 && !stderr.includes('0 flow entries')) throw new Error(`conntrack: ${stderr.trim().slice(0, 300)}`);
  }
}

function commandOf({ frontend, backend, opening }: FlowFilter): string {
  const protocol = frontend.protocol.toLowerCase();
  const words = ['-D', '-p', protocol, '--orig-port-dst', String(frontend.port)];
  if (frontend.address !== '*') words.push('--orig-dst', frontend.address);
  if (backend !== undefined) {
    const [ip = '', port = ''] = backend.split(':');
    words.push('--reply-src', ip, '--reply-port-src', port);
  }
  if (opening === true && protocol === 'tcp') words.push('--state', 'SYN_SENT');
  return words.join(' ');
}

/** The filters that something in the kernel's list answers to. Flows from before an address was ours have no mark of ours; they are all UDP. */
async function withFlows(filters: readonly FlowFilter[]): Promise<FlowFilter[]> {
  const known = await listFlows('-m', ours);
  if (filters.some(({ backend }) => backend === undefined)) {
    for (const key of await listFlows('-p', 'udp')) known.add(key);
  }
  return filters.filter(({ frontend: { protocol, address, port }, backend = '' }) =>
    known.has(`${protocol.toLowerCase()} ${address} ${port} ${backend}`),
  );
}

/** A key for each way in which a filter can name a flow: with any address or its own, with its backend or without. */
async function listFlows(...selection: readonly string[]): Promise<Set<string>> {
  const { code, stdout, stderr } = await run('conntrack', ['-L', ...selection], { timeoutMs });
  if (code !== 0 && !stderr.includes('0 flow entries')) throw new Error(`conntrack -L: ${stderr.trim().slice(0, 300)}`);
  return new Set(stdout.split('\n').flatMap(keysOfFlow));
}

/** `tcp 6 431999 ESTABLISHED src=… dst=<address> sport=… dport=<port> src=<backend> dst=… sport=<its port> dport=… mark=…` */
export function keysOfFlow(line: string): string[] {
  const found = /^(\w+) .*? dst=(\S+) sport=\d+ dport=(\d+) .*?src=(\S+) dst=\S+ sport=(\d+) /.exec(line);
  if (found === null) return [];
  const [, protocol = '', address = '', port = '', ip = '', from = ''] = found;
  const backend = `${ip}:${from}`;
  return [address, '*'].flatMap((at) => [`${protocol} ${at} ${port} ${backend}`, `${protocol} ${at} ${port} `]);
}
