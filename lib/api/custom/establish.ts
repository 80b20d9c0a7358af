import type { Condition, CustomNames, CustomResourceDefinition } from '../objects.ts';
import { withCondition } from '../pods.ts';

/** Holds a definition until its objects are gone. */
export const cleanupFinalizer = 'customresourcecleanup.apiextensions.k8s.io';

/** A kind of the same group whose names are taken. */
export interface Taken {
  readonly owner: string;
  readonly names: CustomNames;
}

/**
 * The status of a definition, given the names that others of its group have: it is served (`Established`) as soon as its own names are free
 * (`NamesAccepted`), and stays so. `storedVersions` grows by the version of the store.
 */
export function establishedStatus(
  definition: CustomResourceDefinition,
  taken: readonly Taken[],
  nowMs: number,
): CustomResourceDefinition['status'] {
  const { names, versions } = definition.spec;
  const before = definition.status;
  const conflict = taken.map((each) => conflictWith(names, each)).find((each) => each !== undefined);
  const isDeleting = definition.metadata.deletionTimestamp !== undefined;
  const wasEstablished = before.conditions?.some(({ type, status }) => type === 'Established' && status === 'True');
  const answers: Condition[] = [
    conflict === undefined
      ? { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message: 'no conflicts found' }
      : { type: 'NamesAccepted', status: 'False', ...conflict },
    conflict === undefined || wasEstablished === true
      ? {
          type: 'Established',
          status: 'True',
          reason: 'InitialNamesAccepted',
          message: 'the initial names have been accepted',
        }
      : { type: 'Established', status: 'False', reason: 'NotAccepted', message: 'not all names are accepted' },
  ];
  if (isDeleting)
    answers.push({
      type: 'Terminating',
      status: 'True',
      reason: 'InstanceDeletionInProgress',
      message: 'its objects are being deleted',
    });
  const conditions = answers.reduce<readonly Condition[] | undefined>(
    (list, next) => withCondition<Condition>(list, next, nowMs),
    before.conditions,
  );
  const stored = versions.filter((each) => each.storage).map((each) => each.name);
  return {
    ...(conditions === undefined ? {} : { conditions }),
    acceptedNames: conflict === undefined ? names : (before.acceptedNames ?? { plural: '', kind: '' }),
    storedVersions: [...new Set([...(before.storedVersions ?? []), ...stored])],
  };
}

function conflictWith(
  names: CustomNames,
  { owner, names: others }: Taken,
): { readonly reason: string; readonly message: string } | undefined {
  const words = ({ plural, singular = '', shortNames = [] }: CustomNames): readonly (readonly [string, string])[] => [
    ['Plural', plural],
    ['Singular', singular],
    ...shortNames.map((name) => ['ShortNames', name] as const),
  ];
  const theirs = new Set(words(others).map(([, word]) => word));
  const word = words(names).find(([, each]) => each !== '' && theirs.has(each));
  if (word !== undefined)
    return { reason: `${word[0]}Conflict`, message: `${JSON.stringify(word[1])} is already in use by ${owner}` };
  const theirKinds = [others.kind, others.listKind];
  const kind = [
    ['Kind', names.kind],
    ['ListKind', names.listKind],
  ].find(([, each]) => each !== undefined && theirKinds.includes(each));
  return kind === undefined
    ? undefined
    : { reason: `${kind[0] ?? ''}Conflict`, message: `${JSON.stringify(kind[1])} is already in use by ${owner}` };
}
