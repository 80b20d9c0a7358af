import type { ConfigTable } from '../../lib/base/config.ts';

export const jobOptions = {
  burst: {
    flag: '--burst',
    env: 'TROUPE_JOB_BURST',
    default: 500,
    unit: 'pods',
    help: 'Most pods made or removed for one Job in one pass',
  },
  backoffMs: {
    flag: '--backoff',
    env: 'TROUPE_JOB_BACKOFF',
    default: 10_000,
    unit: 'ms',
    help: 'The wait for a new pod after a failure; doubled with each failure since the last success',
  },
  maxBackoffMs: {
    flag: '--max-backoff',
    env: 'TROUPE_JOB_MAX_BACKOFF',
    default: 360_000,
    unit: 'ms',
    help: 'The longest such wait',
  },
  statusIntervalMs: {
    flag: '--status-interval',
    env: 'TROUPE_JOB_STATUS_INTERVAL',
    default: 100,
    unit: 'ms',
    help: 'Shortest time between two writes of one status where only its figures changed',
  },
} as const satisfies ConfigTable;
