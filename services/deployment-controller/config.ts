import type { ConfigReference } from '../../lib/api/config-change.ts';
import type { Deployment, ReplicaSet } from '../../lib/api/objects.ts';
import {
  configIn,
  copiesOf,
  dataBackTo,
  resolveConfig,
  type History,
  type Resolved,
  type SeenConfig,
} from '../../lib/rollout/resolve-config.ts';
import { revisionOf } from './annotations.ts';
import { plainTemplate } from './sets.ts';

const historyOf = (owned: readonly ReplicaSet[]): History =>
  owned.toSorted((a, b) => revisionOf(a) - revisionOf(b)).map(copiesOf);

/** What has to be known to resolve the template of a Deployment. */
export const configOf = (deployment: Deployment, owned: readonly ReplicaSet[]): readonly ConfigReference[] =>
  configIn(deployment, historyOf(owned));

/** The template of a Deployment with the data that its pods are to have: its ReplicaSets are its history. */
export const resolve = (deployment: Deployment, owned: readonly ReplicaSet[], seen: readonly SeenConfig[]): Resolved =>
  resolveConfig(deployment, historyOf(owned), seen);

/** How to go back to the data of a former ReplicaSet. */
export const backTo = (target: ReplicaSet, seen: readonly SeenConfig[]): ReturnType<typeof dataBackTo> =>
  dataBackTo({ template: plainTemplate(target), copies: copiesOf(target) }, seen);
