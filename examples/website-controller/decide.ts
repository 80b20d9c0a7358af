import type { V1Deployment, V1ObjectMeta, V1Service } from '@kubernetes/client-node';
import { generationAnnotation, siteLabel, type Website, type WebsiteStatus } from './website.ts';

/** What to do about one object of a Website. A `replace` carries the resourceVersion that was seen: if somebody was quicker, it fails. */
export type Step<T> =
  | { readonly type: 'nothing' }
  | { readonly type: 'create'; readonly object: T }
  | { readonly type: 'replace'; readonly object: T }
  | { readonly type: 'refuse'; readonly why: string };

interface Owned {
  readonly kind?: string;
  readonly metadata?: V1ObjectMeta;
  readonly spec?: unknown;
}

/**
 * The step that makes `observed` what is `wanted`, for the Website `site`. Depends on its arguments only, and a settled state gives
 * `nothing`, so it may run again at any time and in several copies. Fields that are not ours (defaults, what others added) stay.
 */
export function stepTo<T extends Owned>(site: Website, wanted: T, observed: T | undefined): Step<T> {
  if (site.metadata.deletionTimestamp !== undefined) return { type: 'nothing' };
  if (observed === undefined) return { type: 'create', object: wanted };
  if (observed.metadata?.deletionTimestamp !== undefined) return { type: 'nothing' }; // its end wakes us again
  const owner = observed.metadata?.ownerReferences?.find(({ controller }) => controller === true);
  if (owner?.uid !== site.metadata.uid) {
    const taken = owner === undefined ? 'somebody else' : `${owner.kind} ${owner.name}`;
    return { type: 'refuse', why: `${wanted.kind} ${wanted.metadata?.name} is there already and belongs to ${taken}` };
  }
  if (generationOf(observed) > (site.metadata.generation ?? 0)) return { type: 'nothing' }; // a copy of us knows more
  if (isWithin(wanted.spec, observed.spec) && isWithin(labelsOf(wanted), labelsOf(observed)))
    return { type: 'nothing' };
  return { type: 'replace', object: merged(wanted, observed) as T };
}

/** What to tell of a Website. */
export function statusOf(
  site: Website,
  deployment: V1Deployment | undefined,
  service: V1Service | undefined,
  message: string,
): WebsiteStatus {
  return {
    observedGeneration: site.metadata.generation ?? 0,
    replicas: deployment?.status?.replicas ?? 0,
    readyReplicas: deployment?.status?.readyReplicas ?? 0,
    selector: `${siteLabel}=${site.metadata.name}`,
    address: service?.spec?.clusterIP ?? '',
    message,
  };
}

const generationOf = (object: Owned): number => Number(object.metadata?.annotations?.[generationAnnotation] ?? 0);
const labelsOf = (object: Owned): unknown => object.metadata?.labels;

/** Whether all that `wanted` says is so in `observed`. Lists have to be of one length; one that is absent is empty. */
export function isWithin(wanted: unknown, observed: unknown): boolean {
  if (Array.isArray(wanted)) {
    if (observed === undefined) return wanted.length === 0;
    return (
      Array.isArray(observed) &&
      wanted.length === observed.length &&
      wanted.every((each, index) => isWithin(each, observed[index]))
    );
  }
  if (!isRecord(wanted)) return wanted === observed;
  return isRecord(observed) && Object.entries(wanted).every(([key, value]) => isWithin(value, observed[key]));
}

/** `observed` with all that `wanted` says. Lists are as long as wanted. */
export function merged(wanted: unknown, observed: unknown): unknown {
  if (Array.isArray(wanted)) {
    const before: readonly unknown[] = Array.isArray(observed) ? observed : [];
    return wanted.map((each, index) => merged(each, before[index]));
  }
  if (!isRecord(wanted)) return wanted;
  const result: Record<string, unknown> = isRecord(observed) ? { ...observed } : {};
  for (const [key, value] of Object.entries(wanted)) result[key] = merged(value, result[key]);
  return result;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
