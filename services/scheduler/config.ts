import type { ConfigTable } from '../../lib/base/config.ts';
import { dnsSubdomain } from '../../lib/api/names.ts';
import type { ProfileName } from '../../lib/placing/profile.ts';

export const schedulerOptions = {
  schedulerName: {
    flag: '--scheduler-name',
    env: 'TROUPE_SCHEDULER_NAME',
    default: 'default-scheduler',
    help: 'Places the pods whose spec.schedulerName is this',
    parse: (text: string) => {
      const wrong = dnsSubdomain(text);
      if (wrong !== undefined) throw new Error(wrong);
      return text;
    },
  },
  profile: {
    flag: '--profile',
    env: 'TROUPE_SCHEDULER_PROFILE',
    default: 'spread',
    unit: 'spread|pack',
    help: 'Pods of a set apart and load evenly, or as few nodes as will do',
    parse: (text: string): ProfileName => {
      if (text === 'spread' || text === 'pack') return text;
      throw new Error('must be spread or pack');
    },
  },
  module: {
    flag: '--module',
    env: 'TROUPE_SCHEDULER_MODULE',
    default: '',
    unit: 'path',
    help: 'A JavaScript module with filters and scores of your own; empty: none',
  },
  moduleDeadline: {
    flag: '--module-deadline',
    env: 'TROUPE_SCHEDULER_MODULE_DEADLINE',
    default: 200,
    unit: 'ms',
    help: 'How long the rules of the module may take over all nodes for one pod',
    parse: (text: string): number => {
      const ms = Number(text);
      if (!Number.isInteger(ms) || ms < 1 || ms > 1000) throw new Error('must be a whole number of ms from 1 to 1000');
      return ms;
    },
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

/** The Lease by which schedulers of one name agree who acts; those of other names act beside them. */
export const leaseOf = ({ schedulerName }: { readonly schedulerName: string }): string =>
  schedulerName === schedulerOptions.schedulerName.default ? 'scheduler' : `scheduler.${schedulerName}`;
