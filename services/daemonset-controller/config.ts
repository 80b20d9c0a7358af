import type { ConfigTable } from '../../lib/base/config.ts';

export const daemonOptions = {
  burst: {
    flag: '--burst',
    env: 'TROUPE_DAEMON_BURST',
    default: 500,
    unit: 'pods',
    help: 'Most pods made for one DaemonSet in one pass',
  },
} as const satisfies ConfigTable;
