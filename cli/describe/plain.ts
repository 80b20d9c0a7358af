import { isObject, type Json } from '../../lib/api/json.ts';
import type { ApiObject, ClusterRole, LimitRange, ResourceQuota, RoleBinding } from '../../lib/api/objects.ts';
import { inner, type Entry, type Outline, type Value } from './outline.ts';

/** `requestsCPU` as `Requests CPU`: a field's name for a person. */
const label = (field: string): string =>
  field.replace(/([a-z0-9])([A-Z])/g, '$1 $2').replace(/^./, (first) => first.toUpperCase());

/** An object of a kind of which nothing more is known: its members as they are. */
export function describePlain(object: ApiObject): Outline {
  const { apiVersion, kind, metadata: _, ...rest } = object as ApiObject & Json;
  return [['API version', apiVersion], ['Kind', kind], ...members(rest)];
}

const members = (object: Json): Entry[] =>
  Object.entries(object).map(([field, value]): Entry => [label(field), valueOf(value)]);

function valueOf(value: unknown): Value {
  if (isObject(value)) return inner(...members(value));
  if (!Array.isArray(value))
    return typeof value === 'string' ? value : value === null ? undefined : JSON.stringify(value);
  if (!value.some(isObject)) return value.map(String);
  return inner(...value.map((item, index): Entry => [String(index), valueOf(item)]));
}

export function describeQuota({ spec, status }: ResourceQuota): Outline {
  const hard = status.hard ?? spec.hard ?? {};
  return [
    ['Scopes', spec.scopes?.join(', ')],
    [
      'Used',
      inner(
        ...Object.keys(hard)
          .sort()
          .map((name): Entry => [name, `${String(status.used?.[name] ?? 0)} of ${String(hard[name])}`]),
      ),
    ],
  ];
}

const bounds = ['min', 'max', 'defaultRequest', 'default', 'maxLimitRequestRatio'] as const;

export const describeLimits = ({ spec }: LimitRange): Outline =>
  spec.limits.map((item): Entry => {
    const names = [...new Set(bounds.flatMap((bound) => Object.keys(item[bound] ?? {})))].sort();
    const text = (name: string): string =>
      bounds
        .filter((bound) => item[bound]?.[name] !== undefined)
        .map((bound) => `${label(bound).toLowerCase()} ${String(item[bound]?.[name])}`)
        .join(', ');
    return [item.type, inner(...names.map((name): Entry => [name, text(name)]))];
  });

const list = (texts: readonly string[] | undefined): string => texts?.map((text) => text || '""').join(', ') ?? '';

export const describeRole = ({ rules = [] }: ClusterRole): Outline => [
  [
    'Rules',
    rules.map(({ verbs, apiGroups, resources, resourceNames, nonResourceURLs }) =>
      nonResourceURLs !== undefined && nonResourceURLs.length > 0
        ? `${list(verbs)} ${list(nonResourceURLs)}`
        : `${list(verbs)} ${list(resources)} of ${list(apiGroups)}${resourceNames === undefined ? '' : ` named ${list(resourceNames)}`}`,
    ),
  ],
];

export const describeBinding = ({ roleRef, subjects = [] }: RoleBinding): Outline => [
  ['Role', `${roleRef.kind} ${roleRef.name}`],
  [
    'Subjects',
    subjects.map(({ kind, name, namespace }) => `${kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`),
  ],
];
