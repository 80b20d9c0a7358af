import type { ApiObject, LabelSelector } from './meta.ts';

/** Verbs on things, or on paths that are no resources. */
export interface PolicyRule {
  readonly verbs: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
}

/** Rights within a namespace. */
export interface Role extends ApiObject {
  readonly rules?: readonly PolicyRule[];
}
/** Rights everywhere, or in the namespace in which they are bound. */
export interface ClusterRole extends Role {
  readonly aggregationRule?: { readonly clusterRoleSelectors?: readonly LabelSelector[] };
}

/** Gives a role to somebody within a namespace. */
export interface RoleBinding extends ApiObject {
  readonly subjects?: readonly Subject[];
  readonly roleRef: { readonly apiGroup: string; readonly kind: 'Role' | 'ClusterRole'; readonly name: string };
}
/** Gives a ClusterRole to somebody everywhere. */
export type ClusterRoleBinding = RoleBinding;

export interface Subject {
  readonly kind: 'User' | 'Group' | 'ServiceAccount';
  readonly apiGroup?: string;
  readonly name: string;
  readonly namespace?: string;
}
