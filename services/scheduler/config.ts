import type { ConfigTable } from '../../lib/base/config.ts';

export const schedulerOptions = {
  schedulerName: {
    flag: '--scheduler-name',
    env: 'TROUPE_SCHEDULER_NAME',
    default: 'default-scheduler',
    help: 'Places the pods whose spec.schedulerName is this',
  },
  batch: {
    flag: '--batch',
    env: 'TROUPE_SCHEDULER_BATCH',
    default: 500,
    unit: 'pods',
    help: 'Most pods decided and bound in one go',
  },
  sample: {
    flag: '--sample',
    env: 'TROUPE_SCHEDULER_SAMPLE',
    default: 64,
    unit: 'nodes',
    help: 'How many nodes that would do are compared before one is taken',
  },
} as const satisfies ConfigTable;
