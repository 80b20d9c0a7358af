import type { ApiObject, ResourceList } from './meta.ts';

/** How much all objects of a namespace may take together. */
export interface ResourceQuota extends ApiObject {
  readonly spec: {
    readonly hard?: ResourceList;
    readonly scopes?: readonly string[];
    readonly scopeSelector?: {
      readonly matchExpressions?: readonly {
        readonly scopeName: string;
        readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
        readonly values?: readonly string[];
      }[];
    };
  };
  readonly status: { readonly hard?: ResourceList; readonly used?: ResourceList };
}

/** How much each container, pod or claim of a namespace may take, and what it gets when it does not say. */
export interface LimitRange extends ApiObject {
  readonly spec: { readonly limits: readonly LimitRangeItem[] };
}
export interface LimitRangeItem {
  readonly type: string;
  readonly max?: ResourceList;
  readonly min?: ResourceList;
  readonly default?: ResourceList;
  readonly defaultRequest?: ResourceList;
  readonly maxLimitRequestRatio?: ResourceList;
}

/** A name for a priority of pods. */
export interface PriorityClass extends ApiObject {
  readonly value: number;
  readonly globalDefault?: boolean;
  readonly description?: string;
  readonly preemptionPolicy?: 'PreemptLowerPriority' | 'Never';
}
