import { keyOf } from '../../lib/api/keys.ts';
import { kinds, type Objects, type Resource } from '../../lib/api/kinds.ts';
import type { Event } from '../../lib/api/objects.ts';
import { formatSelector, selectorOf } from '../../lib/api/labels.ts';
import { lastAppliedAnnotation } from '../apply/apply.ts';
import { newLayout } from '../columns.ts';
import { eventRow, inTime } from '../events-text.ts';
import type { Session } from '../session.ts';
import {
  describeConfigMap,
  describeEndpoints,
  describeEvent,
  describeLease,
  describeNamespace,
  describeNode,
  describeReplicationController,
  describeSecret,
  describeServiceAccount,
  describeService,
} from './kinds.ts';
import { pairs, renderOutline, type Outline } from './outline.ts';
import { describePod } from './pod.ts';
import { describePersistentVolume, describePersistentVolumeClaim, describeStorageClass } from './storage.ts';

/** Annotations that machines leave for machines; `get -o yaml` shows them. */
const bookkeeping: ReadonlySet<string> = new Set([lastAppliedAnnotation, 'troupe.dev/traceparent']);

/** Everything about one object in lines for a person: what it is, how it is, and what was said about it lately. */
export async function describe<R extends Resource>(
  session: Session,
  resource: R,
  object: Objects[R],
): Promise<string[]> {
  const { metadata } = object;
  const annotations = Object.fromEntries(
    Object.entries(metadata.annotations ?? {}).filter(([key]) => !bookkeeping.has(key)),
  );
  const head: Outline = [
    ['Name', metadata.name],
    ['Namespace', metadata.namespace],
    ['Labels', pairs(metadata.labels)],
    ['Annotations', Object.keys(annotations).length === 0 ? undefined : pairs(annotations)],
    ['Created', metadata.creationTimestamp],
    ['Deletion asked', metadata.deletionTimestamp],
    ['Finalizers', metadata.finalizers?.join(', ')],
  ];
  const [body, events] = await Promise.all([bodyOf(session, resource, object), eventsOf(session, resource, object)]);
  return [...renderOutline([...head, ...body], session.colors.bold), ...eventLines(session, resource, events)];
}

async function bodyOf(session: Session, resource: Resource, object: Objects[Resource]): Promise<Outline> {
  const client = await session.client();
  const { namespace } = object.metadata;
  const inNamespace = namespace === undefined ? {} : { namespace };
  switch (resource) {
    case 'pods':
      return describePod(object as Objects['pods']);
    case 'replicationcontrollers': {
      const rc = object as Objects['replicationcontrollers'];
      const labelSelector = formatSelector(selectorOf(rc.spec.selector));
      const { items } = await client.list('pods', { ...inNamespace, labelSelector }, session.call);
      const own = items.filter(({ metadata }) => metadata.ownerReferences?.some(({ uid }) => uid === rc.metadata.uid));
      return describeReplicationController(rc, own);
    }
    case 'services':
      return describeService(object as Objects['services'], await client.get('endpoints', keyOf(object), session.call));
    case 'endpoints':
      return describeEndpoints(object);
    case 'nodes': {
      const { items } = await client.list(
        'pods',
        { fieldSelector: `spec.nodeName=${object.metadata.name}` },
        session.call,
      );
      return describeNode(object as Objects['nodes'], items);
    }
    case 'namespaces':
      return describeNamespace(object as Objects['namespaces']);
    case 'configmaps':
      return describeConfigMap(object);
    case 'secrets':
      return describeSecret(object);
    case 'serviceaccounts':
      return describeServiceAccount(object);
    case 'leases':
      return describeLease(object as Objects['leases']);
    case 'events':
      return describeEvent(object as Objects['events']);
    case 'persistentvolumes':
      return describePersistentVolume(object as Objects['persistentvolumes']);
    case 'persistentvolumeclaims': {
      const { items } = await client.list('pods', inNamespace, session.call);
      return describePersistentVolumeClaim(object as Objects['persistentvolumeclaims'], items);
    }
    case 'storageclasses':
      return describeStorageClass(object as Objects['storageclasses']);
  }
}

async function eventsOf(session: Session, resource: Resource, object: Objects[Resource]): Promise<readonly Event[]> {
  if (resource === 'events') return [];
  const client = await session.client();
  const { name, namespace } = object.metadata;
  const fieldSelector = `involvedObject.kind=${kinds[resource].kind},involvedObject.name=${name}`;
  const { items } = await client.list(
    'events',
    { ...(namespace === undefined ? {} : { namespace }), fieldSelector },
    session.call,
  );
  // An earlier object of the same name has events of its own.
  return items.filter(
    ({ involvedObject }) =>
      involvedObject.uid === undefined || involvedObject.uid === object.metadata.uid || resource === 'nodes',
  );
}

function eventLines(session: Session, resource: Resource, events: readonly Event[]): string[] {
  if (resource === 'events') return [];
  const title = session.colors.bold('Events:');
  if (events.length === 0) return [`${title} <none>`];
  const nowMs = session.shell.clock.now();
  const rows = events.toSorted(inTime).map((event) => eventRow(event, nowMs, session.colors));
  const heading = ['TYPE', 'REASON', 'AGE', 'FROM', 'MESSAGE'];
  return [
    title,
    ...newLayout()
      .lines([heading, ...rows])
      .map((line) => `  ${line}`),
  ];
}
