import type { Json } from '../../../lib/api/json.ts';
import type { ApiObject, Lease } from '../../../lib/api/objects.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { parseObject } from '../cache/indexed.ts';
import type { Registry } from '../registry/registry.ts';
import { formOf } from './accept.ts';
import { catalogue } from './catalogue.ts';
import { jsonReply, type RestReply, type RestRequest } from './message.ts';
import type { ResourcePath } from './path.ts';

/** Kinds that can only be read, and are made when somebody asks: nothing of them is kept. */
export interface Answered {
  readonly kind: string;
  readonly apiVersion: string;
  readonly columns: readonly string[];
  row(item: AnsweredObject): readonly string[];
  items(registry: Registry, nowMs: number): Promise<readonly AnsweredObject[]>;
}
export type AnsweredObject = Readonly<Record<string, unknown>> & {
  readonly metadata: { readonly name: string; readonly labels?: Json };
};

const byPath: Readonly<Record<string, Answered>> = {
  'apiregistration.k8s.io/v1/apiservices': {
    kind: 'APIService',
    apiVersion: 'apiregistration.k8s.io/v1',
    columns: ['Name', 'Service', 'Available', 'Age'],
    row: ({ metadata }) => [metadata.name, 'Local', 'True', ''],
    items: (registry) => Promise.resolve(catalogue(registry.kinds).map(apiService)),
  },
  '/v1/componentstatuses': {
    kind: 'ComponentStatus',
    apiVersion: 'v1',
    columns: ['Name', 'Status', 'Message', 'Error'],
    row: ({ metadata, conditions }) => {
      const [{ status, message } = { status: 'Unknown', message: '' }] = conditions as readonly Condition[];
      return [metadata.name, status === 'True' ? 'Healthy' : 'Unhealthy', message, ''];
    },
    items: componentStatuses,
  },
};
interface Condition {
  readonly status: string;
  readonly message: string;
}

/** Undefined for a path that is about something else. MethodNotAllowed for any other verb than reading. */
export function onAnswered(
  registry: Registry,
  { group, version, resource, name, namespace }: ResourcePath,
  { request, nowMs }: { readonly request: RestRequest; readonly nowMs: number },
): Promise<RestReply> | undefined {
  const answered = byPath[`${group}/${version}/${resource}`];
  if (answered === undefined || namespace !== undefined) return undefined;
  if (request.method !== 'GET' || request.query.has('watch'))
    throw new ApiError('MethodNotAllowed', `${resource} can be read; there is no other verb`, { resource });
  return reply(registry, answered, { resource, name, request, nowMs });
}

async function reply(
  registry: Registry,
  answered: Answered,
  asked: {
    readonly resource: string;
    readonly name: string | undefined;
    readonly request: RestRequest;
    readonly nowMs: number;
  },
): Promise<RestReply> {
  const { resource, name, request } = asked;
  await registry.fresh();
  const { kind, apiVersion } = answered;
  const all = (await answered.items(registry, asked.nowMs)).map((item) => ({ kind, apiVersion, ...item }));
  const chosen = name === undefined ? all : all.filter(({ metadata }) => metadata.name === name);
  const [only] = chosen;
  if (name !== undefined && only === undefined)
    throw new ApiError('NotFound', `${resource} "${name}" not found`, { resource, name });
  const form = formOf(request.header('accept'));
  if (form.as === 'Table') return jsonReply(tableOf(answered, chosen, form.version));
  return jsonReply(name === undefined ? { kind: `${kind}List`, apiVersion, metadata: {}, items: chosen } : only);
}

/** Every group and version is served by the apiserver itself. */
function apiService({ group, version }: { readonly group: string; readonly version: string }): AnsweredObject {
  const condition = {
    type: 'Available',
    status: 'True',
    reason: 'Local',
    message: 'Local APIServices are always available',
  };
  return {
    metadata: { name: `${version}.${group}`, labels: { 'kube-aggregator.kubernetes.io/automanaged': 'true' } },
    spec: { ...(group === '' ? {} : { group }), version, groupPriorityMinimum: 1000, versionPriority: 15 },
    status: { conditions: [condition] },
  };
}

/** Loops that must have a leader at any time, by the Lease that the leader holds; and the store, without which nobody would be answered. */
const loops = ['scheduler', 'replication-controller', 'endpoints-controller', 'node-controller', 'garbage-collector'];

async function componentStatuses(registry: Registry, nowMs: number): Promise<readonly AnsweredObject[]> {
  const leases = new Map<string, ApiObject>();
  for (const { json } of (await registry.list('leases', { namespace: 'kube-system' })).items) {
    const lease = parseObject(json);
    leases.set(lease.metadata.name, lease);
  }
  const statuses = loops.map((name) => component(name, whyUnhealthy(leases.get(name) as Lease | undefined, nowMs)));
  return [...statuses, component('store', undefined)];
}

const component = (name: string, why: string | undefined): AnsweredObject => ({
  metadata: { name },
  conditions: [{ type: 'Healthy', status: why === undefined ? 'True' : 'False', message: why ?? 'ok' }],
});

function whyUnhealthy(lease: Lease | undefined, nowMs: number): string | undefined {
  if (lease === undefined) return 'nobody has ever led';
  const { renewTime, leaseDurationSeconds = 0, holderIdentity = '' } = lease.spec;
  if (holderIdentity === '') return 'nobody leads';
  // A leader renews well within its time; twice of that allows for a slow moment.
  const late = renewTime === undefined || Date.parse(renewTime) + leaseDurationSeconds * 2_000 < nowMs;
  return late ? `${holderIdentity} leads, and has not been heard of since ${renewTime ?? 'ever'}` : undefined;
}

/** A table of things that are made when they are asked for. */
function tableOf(answered: Answered, items: readonly AnsweredObject[], version: string): object {
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${version}`,
    metadata: {},
    columnDefinitions: answered.columns.map((name) => ({
      ...{ name, type: 'string', format: name === 'Name' ? 'name' : '', description: name, priority: 0 },
    })),
    rows: items.map((item) => ({
      cells: answered.row(item),
      object: { kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${version}`, metadata: item.metadata },
    })),
  };
}
