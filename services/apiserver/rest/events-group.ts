import { isAbsent, isObject, objectAt, textAt, type Json, type MutableJson } from '../../../lib/api/json.ts';

/** The younger of the two groups in which the same Events are served. */
export const eventsGroup = 'events.k8s.io';

/** What a member is called in the core group, and in this one. */
const names = [
  ['involvedObject', 'regarding'],
  ['message', 'note'],
  ['source', 'deprecatedSource'],
  ['firstTimestamp', 'deprecatedFirstTimestamp'],
  ['lastTimestamp', 'deprecatedLastTimestamp'],
  ['count', 'deprecatedCount'],
  ['reportingComponent', 'reportingController'],
] as const;

const inCore = names.map(([core, ours]) => [ours, core] as const);

/** An Event of the core group as events.k8s.io/v1 shows it; nothing of it is lost. */
export function toEventsGroup(event: object): Json {
  const { apiVersion: _, kind, ...rest } = event as Json;
  return renamed({ apiVersion: `${eventsGroup}/v1`, kind, ...rest }, names);
}

/** An Event of events.k8s.io/v1 as it is kept. A value that is no object is left for others to refuse. */
export function fromEventsGroup(value: unknown): unknown {
  if (!isObject(value)) return value;
  const event = renamed(value, inCore);
  const said = textAt(value, 'apiVersion');
  if (said === '' || said === `${eventsGroup}/v1`) event['apiVersion'] = 'v1';
  // Clients of this group say what an Event is about, and when, in its own members alone.
  if (isAbsent(event['source']) && textAt(event, 'reportingComponent') !== '')
    event['source'] = { component: textAt(event, 'reportingComponent') };
  const { namespace } = objectAt(event, 'metadata');
  const about = objectAt(event, 'involvedObject');
  if (isAbsent(about['namespace']) && typeof namespace === 'string' && namespace !== 'default')
    event['involvedObject'] = { ...about, namespace };
  return event;
}

/** A change that is written for the members of this group: a JSON patch by its paths, any other by its members. */
export function patchFromEventsGroup(patch: unknown): unknown {
  if (!Array.isArray(patch)) return isObject(patch) ? renamed(patch, inCore) : patch;
  return patch.map((operation: unknown) => {
    if (!isObject(operation)) return operation;
    const paths = ['path', 'from'].filter((field) => typeof operation[field] === 'string');
    return { ...operation, ...Object.fromEntries(paths.map((field) => [field, inCorePath(textAt(operation, field))])) };
  });
}

function inCorePath(path: string): string {
  const [, first = '', ...rest] = path.split('/');
  return ['', new Map<string, string>(inCore).get(first) ?? first, ...rest].join('/');
}

function renamed(object: Json, pairs: readonly (readonly [string, string])[]): MutableJson {
  const other = new Map(pairs);
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [other.get(name) ?? name, value]));
}
