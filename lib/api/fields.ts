import { ApiError } from '../base/errors.ts';
import { asObject, isAbsent, objectAt, objectsAt, textAt, type Json } from './json.ts';
import type { Resource } from './kinds.ts';

/** One condition of a field selector; all must hold. A field that an object lacks counts as the empty text. */
export interface FieldRequirement {
  readonly path: string;
  readonly operator: '=' | '!=';
  readonly value: string;
}

const everywhere = ['metadata.name', 'metadata.namespace'];
const involved = ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'];

/** The fields that can be selected by, per resource, besides name and namespace. */
const selectable: Readonly<Partial<Record<Resource, readonly string[]>>> = {
  pods: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'spec.hostNetwork',
    'status.phase',
    'status.podIP',
    'status.podIPs',
    'status.nominatedNodeName',
  ],
  replicationcontrollers: ['status.replicas'],
  replicasets: ['status.replicas'],
  jobs: ['status.successful'],
  nodes: ['spec.unschedulable'],
  events: [...involved.map((field) => `involvedObject.${field}`), 'reason', 'reportingComponent', 'source', 'type'],
  namespaces: ['status.phase'],
  secrets: ['type'],
  services: ['spec.clusterIP', 'spec.type'],
};

/** The paths that `parseFieldSelector` takes for a resource. */
export const selectableFields = (resource: Resource): readonly string[] => [
  ...everywhere,
  ...(selectable[resource] ?? []),
];

/**
 * The requirements of a text such as `spec.nodeName=n1,status.phase!=Failed`; a backslash escapes `,`, `=` and itself
 * in a value. BadRequest when it cannot be read or names a field that the resource cannot be selected by.
 */
export function parseFieldSelector(
  resource: Resource,
  text: string,
  more: readonly string[] = [],
): readonly FieldRequirement[] {
  const allowed = [...selectableFields(resource), ...more];
  return splitTerms(text).map((term) => {
    const requirement = parseTerm(term);
    if (requirement === undefined)
      throw new ApiError(
        'BadRequest',
        `invalid field selector ${JSON.stringify(text)}: can't understand ${JSON.stringify(term)}: write field=value, field==value or field!=value`,
      );
    if (!allowed.includes(requirement.path))
      throw new ApiError(
        'BadRequest',
        `field label not supported: ${requirement.path} (${resource} can be selected by ${allowed.join(', ')})`,
      );
    return requirement;
  });
}

/** A selectable field of an object as text: `true` or `false` for flags, empty for what is not there. */
export function fieldValue(resource: Resource, object: object, path: string): string {
  const root = asObject(object);
  if (resource === 'pods' && path === 'status.podIPs')
    return objectsAt(objectAt(root, 'status'), 'podIPs')
      .map((entry) => textAt(entry, 'ip'))
      .join(',');
  if (resource === 'events' && path === 'source')
    return textAt(objectAt(root, 'source'), 'component') || textAt(root, 'reportingComponent');
  // Its name in queries of old.
  if (resource === 'jobs' && path === 'status.successful')
    return String(Number(objectAt(root, 'status')['succeeded'] ?? 0));
  let value: unknown = root;
  for (const part of path.split('.')) value = asObject(value)[part];
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (!isAbsent(value)) return '';
  return absentValues[path] ?? '';
}

/** What the absence of a flag or a count means. */
const absentValues: Json & Readonly<Record<string, string>> = {
  'spec.hostNetwork': 'false',
  'spec.unschedulable': 'false',
  'status.replicas': '0',
};

/** Whether an object meets every requirement. */
export const matchesFields = (resource: Resource, requirements: readonly FieldRequirement[], object: object): boolean =>
  requirements.every(
    ({ path, operator, value }) => (fieldValue(resource, object, path) === value) === (operator === '='),
  );

function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let term = '';
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === '\\' && at + 1 < text.length) term += character + text.charAt(++at);
    else if (character === ',') {
      terms.push(term);
      term = '';
    } else term += character;
  }
  terms.push(term);
  return terms.map((each) => each.trim()).filter((each) => each !== '');
}

function parseTerm(term: string): FieldRequirement | undefined {
  const found = /^([A-Za-z][A-Za-z0-9.[\]-]*)\s*(==|!=|=)\s*((?:[^\\=]|\\.)*)$/s.exec(term);
  if (found === null) return undefined;
  const [, path = '', operator, raw = ''] = found;
  return { path, operator: operator === '!=' ? '!=' : '=', value: raw.replace(/\\(.)/gs, '$1') };
}
