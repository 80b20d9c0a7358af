import { keyOf } from '../../lib/api/keys.ts';
import { isCustom, type Objects, type Resource } from '../../lib/api/kinds.ts';
import type { ApiObject, Event, Pod } from '../../lib/api/objects.ts';
import { formatSelector, selectorOf, selectorOfLabelSelector, type Selector } from '../../lib/api/labels.ts';
import { kindInfo } from '../kinds.ts';
import { lastAppliedAnnotation } from '../apply/apply.ts';
import { newLayout } from '../columns.ts';
import { eventRow, inTime } from '../events-text.ts';
import type { Session } from '../session.ts';
import { describeAutoscaler } from './autoscaler.ts';
import { describeCronJob, describeJob } from './batch.ts';
import { describeDaemonSet } from './daemon.ts';
import { describeBudget } from './disruption.ts';
import {
  describeConfigMap,
  describeEndpoints,
  describeEvent,
  describeLease,
  describeNamespace,
  describeNode,
  describeSecret,
  describeServiceAccount,
} from './kinds.ts';
import { describeBinding, describeLimits, describePlain, describeQuota, describeRole } from './plain.ts';
import { pairs, renderOutline, type Outline } from './outline.ts';
import { describePod } from './pod.ts';
import { describeService, inEffect } from './service.ts';
import { describePersistentVolume, describePersistentVolumeClaim, describeStorageClass } from './storage.ts';
import { describeDeployment, describeReplicated } from './workload.ts';

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
  if (isCustom(resource)) return describePlain(object);
  const client = await session.client();
  const { namespace } = object.metadata;
  const inNamespace = namespace === undefined ? {} : { namespace };
  switch (resource) {
    case 'pods':
      return describePod(object as Objects['pods']);
    case 'replicationcontrollers': {
      const rc = object as Objects['replicationcontrollers'];
      return describeReplicated(rc, await ownPods(session, rc, selectorOf(rc.spec.selector)));
    }
    case 'replicasets': {
      const set = object as Objects['replicasets'];
      return describeReplicated(set, await ownPods(session, set, selectorOfLabelSelector(set.spec.selector)));
    }
    case 'poddisruptionbudgets':
      return describeBudget(object as Objects['poddisruptionbudgets']);
    case 'horizontalpodautoscalers':
      return describeAutoscaler(object as Objects['horizontalpodautoscalers']);
    case 'cronjobs':
      return describeCronJob(object as Objects['cronjobs']);
    case 'jobs': {
      const job = object as Objects['jobs'];
      const pods = await ownPods(session, job, selectorOfLabelSelector(job.spec.selector));
      return describeJob(job, pods, session.shell.clock.now());
    }
    case 'daemonsets': {
      const set = object as Objects['daemonsets'];
      return describeDaemonSet(set, await ownPods(session, set, selectorOfLabelSelector(set.spec.selector)));
    }
    case 'deployments': {
      const deployment = object as Objects['deployments'];
      const labelSelector = formatSelector(selectorOfLabelSelector(deployment.spec.selector));
      const { items } = await client.list('replicasets', { ...inNamespace, labelSelector }, session.call);
      return describeDeployment(
        deployment,
        items.filter((set) => isOwned(set, deployment)),
      );
    }
    case 'services': {
      const service = object as Objects['services'];
      const [endpoints, effect] = await Promise.all([
        client.get('endpoints', keyOf(object), session.call),
        inEffect(session, service),
      ]);
      return [...describeService(service, endpoints), effect];
    }
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
      return describeConfigMap(object as Objects['configmaps']);
    case 'secrets':
      return describeSecret(object as Objects['secrets']);
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
    case 'resourcequotas':
      return describeQuota(object as Objects['resourcequotas']);
    case 'limitranges':
      return describeLimits(object as Objects['limitranges']);
    case 'roles':
    case 'clusterroles':
      return describeRole(object);
    case 'rolebindings':
    case 'clusterrolebindings':
      return describeBinding(object as Objects['rolebindings']);
    case 'controllerrevisions':
    case 'podtemplates':
    case 'endpointslices':
    case 'priorityclasses':
    case 'customresourcedefinitions':
      return describePlain(object);
  }
}

const isOwned = ({ metadata }: ApiObject, owner: ApiObject): boolean =>
  metadata.ownerReferences?.some(({ uid }) => uid === owner.metadata.uid) === true;

async function ownPods(session: Session, owner: ApiObject, selector: Selector): Promise<readonly Pod[]> {
  const client = await session.client();
  const { namespace = '' } = owner.metadata;
  const { items } = await client.list('pods', { namespace, labelSelector: formatSelector(selector) }, session.call);
  return items.filter((pod) => isOwned(pod, owner));
}

async function eventsOf(session: Session, resource: Resource, object: Objects[Resource]): Promise<readonly Event[]> {
  if (resource === 'events') return [];
  const client = await session.client();
  const { name, namespace } = object.metadata;
  const fieldSelector = `involvedObject.kind=${kindInfo(resource).kind},involvedObject.name=${name}`;
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
