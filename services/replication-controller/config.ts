import type { ConfigTable } from '../../lib/base/config.ts';

export const replicationOptions = {
  burst: {
    flag: '--burst',
    env: 'TROUPE_REPLICATION_BURST',
    default: 500,
    unit: 'pods',
    help: 'Most pods made or removed for one ReplicationController in one pass',
  },
  statusIntervalMs: {
    flag: '--status-interval',
    env: 'TROUPE_REPLICATION_STATUS_INTERVAL',
    default: 100,
    unit: 'ms',
    help: 'Shortest time between two writes of one status where only its figures changed',
  },
} as const satisfies ConfigTable;
