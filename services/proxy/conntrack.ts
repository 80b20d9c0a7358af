import { run } from './command.ts';
import type { Frontend } from './table.ts';

/** Which of the kernel's flows: those made to `frontend`, of one backend when given, only those not yet open when `opening`. */
export interface FlowFilter {
  readonly frontend: Frontend;
  readonly backend?: string;
  readonly opening?: boolean;
}

/** So many filters go to one process; each makes it read the kernel's whole list once. */
const batchSize = 200;
const timeoutMs = 20_000;

/**
 * Forgets flows, so that the next packet of such a client is treated as a new connection: UDP goes to a live backend,
 * an open TCP connection is reset by a backend that does not know it, a SYN that is sent again finds a live one.
 * Rejects when the tool is missing or fails; that nothing matched is success.
 */
export async function forgetFlows(filters: readonly FlowFilter[]): Promise<void> {
  for (let i = 0; i < filters.length; i += batchSize) {
    const lines = filters.slice(i, i + batchSize).map(commandOf);
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
