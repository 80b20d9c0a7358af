import type { Node } from '../../../lib/api/objects.ts';
import { messageOf } from '../../../lib/base/errors.ts';
import type { NodeState } from '../../../lib/placing/cluster.ts';
import type { Filter } from '../../../lib/placing/filters.ts';
import type { Profile } from '../../../lib/placing/profile.ts';
import { wishWeight, type Penalty } from '../../../lib/placing/scores.ts';
import type { FilterRule, NodeSeen, SchedulerModule, ScoreRule } from './contract.ts';
import { DeadlineError, withinDeadline } from './deadline.ts';

export interface ModuleOptions {
  /** The Node as it was last heard of. */
  readonly nodeOf: (name: string) => Node | undefined;
  /** How long the rules may take over all nodes for one pod. */
  readonly deadlineMs: number;
  /** A rule threw, answered nonsense, or took too long. */
  readonly onFailure: (rule: string, message: string) => void;
}

/** The profile with a module's rules: its filters after our own, so that they are asked only of nodes that would do. */
export function withModule(profile: Profile, module: SchedulerModule, options: ModuleOptions): Profile {
  const { filters = [], scores = [] } = module;
  return {
    ...profile,
    filters: [...profile.filters, ...filters.map((rule) => filterOf(rule, options))],
    penalties: [...profile.penalties, ...scores.map((rule) => penaltyOf(rule, options))],
    comparesAll: profile.comparesAll || scores.length > 0,
    within(work) {
      try {
        return withinDeadline(options.deadlineMs, work);
      } catch (error) {
        if (error instanceof DeadlineError) options.onFailure('', error.message);
        throw error;
      }
    },
  };
}

function filterOf(rule: FilterRule, options: ModuleOptions): Filter {
  const failed = (what: string): string => {
    options.onFailure(rule.name, what);
    return `where the rule "${rule.name}" of the module failed: ${what}`;
  };
  return {
    name: rule.name,
    concerns: ({ pod }) => concerned(rule, pod, options),
    refuse({ pod }, state) {
      const seen = seenOf(state, options);
      if (seen === undefined) return 'not known yet';
      try {
        const reason: unknown = rule.refuse(pod, seen);
        if (reason === undefined) return undefined;
        return typeof reason === 'string' && reason !== ''
          ? cut(reason)
          : failed('it answered neither a text nor undefined');
      } catch (error) {
        return failed(cut(messageOf(error)));
      }
    },
  };
}

function penaltyOf(rule: ScoreRule, options: ModuleOptions): Penalty {
  const weight = (rule.weight ?? 1) * wishWeight;
  return {
    name: rule.name,
    of({ pod }, state) {
      const seen = seenOf(state, options);
      if (seen === undefined || !concerned(rule, pod, options)) return 0;
      try {
        const score: unknown = rule.score(pod, seen);
        if (typeof score === 'number' && score >= 0 && score <= 100) return weight * (1 - score / 100);
        options.onFailure(rule.name, 'it answered no number from 0 to 100');
      } catch (error) {
        options.onFailure(rule.name, cut(messageOf(error)));
      }
      return weight;
    },
  };
}

/** A rule that cannot say whether it is concerned is: a filter may guard something. */
function concerned(
  rule: FilterRule | ScoreRule,
  pod: Parameters<FilterRule['refuse']>[0],
  options: ModuleOptions,
): boolean {
  try {
    return rule.concerns?.(pod) ?? true;
  } catch (error) {
    options.onFailure(rule.name, cut(messageOf(error)));
    return true;
  }
}

function seenOf({ name, capacity, used }: NodeState, { nodeOf }: ModuleOptions): NodeSeen | undefined {
  const node = nodeOf(name);
  return node === undefined ? undefined : { node, capacity, used };
}

const cut = (text: string): string => (text.length > 200 ? `${text.slice(0, 200)}…` : text);
