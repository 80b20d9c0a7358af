import type { ServiceAccount } from './objects.ts';

/** On a ServiceAccount: what its pods may do in their namespace besides reading and annotating themselves. */
export const accountGrantAnnotation = 'troupe.dev/may';

/** `label-pods`: read the pods of the namespace, and patch their labels and annotations. That moves traffic: give it with care. */
export const accountGrants = ['label-pods'] as const;
export type AccountGrant = (typeof accountGrants)[number];

export function grantsOf({ metadata }: ServiceAccount): readonly AccountGrant[] {
  const given = metadata.annotations?.[accountGrantAnnotation];
  return accountGrants.filter((grant) => grant === given);
}
