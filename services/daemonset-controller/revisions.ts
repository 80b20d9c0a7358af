import { isObject, objectAt, sameJson } from '../../lib/api/json.ts';
import { apiVersionOf, kinds } from '../../lib/api/kinds.ts';
import type { ControllerRevision, DaemonSet } from '../../lib/api/objects.ts';
import type { Draft } from '../../lib/client/client.ts';
import { hashOf } from '../../lib/rollout/hash.ts';
import { configAnnotation } from '../../lib/rollout/resolve-config.ts';
import type { CopyNames } from '../../lib/rollout/config-copies.ts';
import { hashLabel, ownerReferenceOf } from './template.ts';

export const changeCause = 'kubernetes.io/change-cause';
/**
 * On a ControllerRevision: its template was everywhere and available once since it became the newest. What happens to its pods later is
 * no failure of a rollout.
 */
export const rolledOutAnnotation = 'troupe.dev/rolled-out';

/** What is due for the history of a DaemonSet. */
export interface History {
  /** The hash of the newest template, as the current revision has it; undefined while there is no such revision. */
  readonly hash: string | undefined;
  readonly current: ControllerRevision | undefined;
  readonly create: Draft<ControllerRevision> | undefined;
  /** The current one, where its number or its cause is to change. */
  readonly write: ControllerRevision | undefined;
  /** Former ones that nobody goes back to. */
  readonly remove: readonly ControllerRevision[];
}

/**
 * The templates that a DaemonSet has had, of which the current one has the highest number: one that comes back gets a new number, as with
 * Deployments. `inUse` are the hashes of pods that are there, `copies` those that the template names. Templates are compared as they are, not by their hash.
 */
export function historyOf(
  set: DaemonSet,
  revisions: readonly ControllerRevision[],
  inUse: ReadonlySet<string>,
  copies: CopyNames = {},
): History {
  const byAge = revisions.toSorted((a, b) => a.revision - b.revision || (a.metadata.name < b.metadata.name ? -1 : 1));
  const current = byAge.findLast((revision) => isOf(set, revision));
  const highest = byAge.at(-1)?.revision ?? 0;
  if (current === undefined)
    return { hash: undefined, current, create: newRevision(set, highest + 1, copies), write: undefined, remove: [] };
  const others = byAge.filter((revision) => revision !== current);
  const number = others.some(({ revision }) => revision >= current.revision) ? highest + 1 : current.revision;
  const cause = set.metadata.annotations?.[changeCause];
  const former = current.metadata.annotations?.[changeCause];
  const { [rolledOutAnnotation]: rolledOut, ...rest } = current.metadata.annotations ?? {};
  const annotations = {
    ...rest,
    ...(rolledOut !== undefined && number === current.revision && { [rolledOutAnnotation]: rolledOut }),
    ...(cause !== undefined && { [changeCause]: cause }),
  };
  const isSame = number === current.revision && (cause === undefined || cause === former);
  const idle = others.filter((revision) => !inUse.has(hashOfRevision(revision)));
  return {
    hash: hashOfRevision(current),
    current,
    create: undefined,
    write: isSame ? undefined : { ...current, revision: number, metadata: { ...current.metadata, annotations } },
    remove: idle.slice(0, Math.max(0, idle.length - set.spec.revisionHistoryLimit)),
  };
}

export const hashOfRevision = ({ metadata }: ControllerRevision): string => metadata.labels?.[hashLabel] ?? '';

/** A strategic merge patch that gives a DaemonSet this template in place of its own; `kubectl rollout undo` sends it as it is. */
const patchOf = ({ spec }: DaemonSet): Readonly<Record<string, unknown>> => ({
  spec: { template: { ...spec.template, $patch: 'replace' } },
});

export const isOf = (set: DaemonSet, { data }: ControllerRevision): boolean =>
  isObject(data) && sameJson(objectAt(data, 'spec'), patchOf(set)['spec']);

/** Its name tells whose it is and of what, so that two who make it meet in it. */
function newRevision(set: DaemonSet, revision: number, copies: CopyNames): Draft<ControllerRevision> {
  const { name, namespace, annotations } = set.metadata;
  const cause = annotations?.[changeCause];
  const hash = hashOf(set.spec.template, set.status.collisionCount ?? 0);
  const about = {
    ...(cause !== undefined && { [changeCause]: cause }),
    ...(Object.keys(copies).length > 0 && { [configAnnotation]: JSON.stringify(copies) }),
  };
  return {
    apiVersion: apiVersionOf(kinds.controllerrevisions),
    kind: kinds.controllerrevisions.kind,
    metadata: {
      name: `${name}-${hash}`,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...set.spec.template.metadata?.labels, [hashLabel]: hash },
      ...(Object.keys(about).length === 0 ? {} : { annotations: about }),
      ownerReferences: [ownerReferenceOf(set)],
    },
    data: patchOf(set),
    revision,
  };
}
