import type { ConfigTable } from '../../lib/base/config.ts';

export const rebalancerOptions = {
  all: {
    flag: '--all',
    env: 'TROUPE_REBALANCER_ALL',
    default: false,
    help: 'Move the pods of every controller that does not say troupe.dev/rebalance=false, not only of those that ask for it',
  },
  movesPerMinute: {
    flag: '--moves-per-minute',
    env: 'TROUPE_REBALANCER_MOVES_PER_MINUTE',
    default: 20,
    help: 'Most moves begun in a minute in the whole cluster, evenly spaced',
    parse: (text: string) => {
      const moves = Number(text);
      if (!Number.isInteger(moves) || moves < 1 || moves > 600) throw new Error('must be a whole number from 1 to 600');
      return moves;
    },
  },
  deadlineMs: {
    flag: '--move-deadline',
    env: 'TROUPE_REBALANCER_MOVE_DEADLINE',
    default: 120_000,
    unit: 'ms',
    help: 'A move whose replacement does not serve by then is taken back',
  },
  restMs: {
    flag: '--rest',
    env: 'TROUPE_REBALANCER_REST',
    default: 300_000,
    unit: 'ms',
    help: 'At most so long the pods of a controller stay where they are after moves that were taken back; 10 s at first',
  },
} as const satisfies ConfigTable;
