import { kinds, resources, type BuiltIn, type KindInfo } from '../../../lib/api/kinds.ts';
import type { CustomVersion } from '../../../lib/api/objects.ts';
import type { KindSource } from '../registry/kinds.ts';
import { oldAutoscalers, youngEvents } from './resources.ts';

/** Something that is served below a resource, or without being kept. */
export interface Extra {
  /** `pods/log`, or a resource of its own. */
  readonly name: string;
  readonly kind: string;
  readonly verbs: readonly string[];
  /** Where the kind is of another group than the resource. */
  readonly group?: string;
  readonly version?: string;
}

const allVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'] as const;

/** What `kubectl get all` means by all, as far as it is there. */
const inAll: ReadonlySet<BuiltIn> = new Set([
  'pods',
  'replicationcontrollers',
  'services',
  'daemonsets',
  'replicasets',
  'deployments',
  'jobs',
  'cronjobs',
  'horizontalpodautoscalers',
]);

function scaleBelow(plural: string): Extra {
  const verbs = ['get', 'patch', 'update'];
  return { name: `${plural}/scale`, kind: 'Scale', verbs, group: 'autoscaling', version: 'v1' };
}

const passedOn = ['create', 'delete', 'get', 'patch', 'update'];

/** Below the objects of a resource, besides status. */
const below: Readonly<Partial<Record<BuiltIn, readonly Extra[]>>> = {
  pods: [
    { name: 'pods/attach', kind: 'PodAttachOptions', verbs: ['create', 'get'] },
    { name: 'pods/binding', kind: 'Binding', verbs: ['create'] },
    { name: 'pods/ephemeralcontainers', kind: 'Pod', verbs: ['get', 'patch', 'update'] },
    { name: 'pods/eviction', kind: 'Eviction', verbs: ['create'], group: 'policy', version: 'v1' },
    { name: 'pods/exec', kind: 'PodExecOptions', verbs: ['create', 'get'] },
    { name: 'pods/log', kind: 'Pod', verbs: ['get'] },
    { name: 'pods/portforward', kind: 'PodPortForwardOptions', verbs: ['create', 'get'] },
    { name: 'pods/proxy', kind: 'PodProxyOptions', verbs: passedOn },
  ],
  replicationcontrollers: [scaleBelow('replicationcontrollers')],
  replicasets: [scaleBelow('replicasets')],
  deployments: [scaleBelow('deployments')],
  services: [{ name: 'services/proxy', kind: 'ServiceProxyOptions', verbs: passedOn }],
  namespaces: [{ name: 'namespaces/finalize', kind: 'Namespace', verbs: ['update'] }],
  serviceaccounts: [
    {
      name: 'serviceaccounts/token',
      kind: 'TokenRequest',
      verbs: ['create'],
      group: 'authentication.k8s.io',
      version: 'v1',
    },
  ],
};

export interface CatalogueEntry {
  /** `resource` as in paths. */
  readonly info: KindInfo;
  readonly verbs: readonly string[];
  readonly categories: readonly string[];
  readonly extras: readonly Extra[];
  /** Of a kind that users defined. */
  readonly at?: CustomVersion;
}

export interface GroupVersion {
  readonly group: string;
  readonly version: string;
  readonly entries: readonly CatalogueEntry[];
}

const unkept = (
  resource: string,
  kind: string,
  about: Pick<KindInfo, 'group' | 'version' | 'namespaced'>,
): KindInfo => ({
  ...{ resource, kind, singular: kind.toLowerCase(), shortNames: [], hasStatus: false },
  ...about,
});
const authentication = { group: 'authentication.k8s.io', version: 'v1', namespaced: false } as const;
const authorization = { group: 'authorization.k8s.io', version: 'v1', namespaced: false } as const;
const registration = { group: 'apiregistration.k8s.io', version: 'v1', namespaced: false } as const;
const metrics = { group: 'metrics.k8s.io', version: 'v1beta1' } as const;

/** What is answered without being kept. */
const answered: readonly { readonly info: KindInfo; readonly verbs: readonly string[] }[] = [
  {
    info: {
      ...unkept('componentstatuses', 'ComponentStatus', { group: '', version: 'v1', namespaced: false }),
      shortNames: ['cs'],
    },
    verbs: ['get', 'list'],
  },
  { info: unkept('apiservices', 'APIService', registration), verbs: ['get', 'list'] },
  { info: unkept('selfsubjectreviews', 'SelfSubjectReview', authentication), verbs: ['create'] },
  {
    info: unkept('localsubjectaccessreviews', 'LocalSubjectAccessReview', { ...authorization, namespaced: true }),
    verbs: ['create'],
  },
  { info: unkept('selfsubjectaccessreviews', 'SelfSubjectAccessReview', authorization), verbs: ['create'] },
  { info: unkept('selfsubjectrulesreviews', 'SelfSubjectRulesReview', authorization), verbs: ['create'] },
  { info: unkept('subjectaccessreviews', 'SubjectAccessReview', authorization), verbs: ['create'] },
  {
    info: { ...unkept('nodes', 'NodeMetrics', { ...metrics, namespaced: false }), singular: '' },
    verbs: ['get', 'list'],
  },
  { info: { ...unkept('pods', 'PodMetrics', { ...metrics, namespaced: true }), singular: '' }, verbs: ['get', 'list'] },
];

/** What is served, by group and version, the core group first: discovery, OpenAPI and the help texts are made from it. */
export function catalogue(source: KindSource): readonly GroupVersion[] {
  const groups = new Map<string, { group: string; version: string; entries: CatalogueEntry[] }>();
  const add = (entry: CatalogueEntry): void => {
    const { group, version } = entry.info;
    const id = `${group}/${version}`;
    const found = groups.get(id) ?? { group, version, entries: [] };
    groups.set(id, found);
    found.entries.push(entry);
  };
  for (const resource of resources) {
    const info = kinds[resource];
    const categories = inAll.has(resource) ? ['all'] : [];
    add({ info, verbs: allVerbs, categories, extras: [...statusOf(info), ...(below[resource] ?? [])] });
  }
  add({ info: youngEvents, verbs: allVerbs, categories: [], extras: [] });
  add({ info: oldAutoscalers, verbs: allVerbs, categories: ['all'], extras: statusOf(oldAutoscalers) });
  for (const { info, verbs } of answered) add({ info, verbs, categories: [], extras: [] });
  for (const kind of source.custom()) {
    const info = { ...kind, resource: kind.plural };
    const scale = kind.at.subresources?.scale === undefined ? [] : [scaleBelow(kind.plural)];
    add({ info, verbs: allVerbs, categories: kind.categories, extras: [...statusOf(info), ...scale], at: kind.at });
  }
  return [...groups.values()];
}

const statusOf = ({ resource, kind, hasStatus }: KindInfo): readonly Extra[] =>
  hasStatus ? [{ name: `${resource}/status`, kind, verbs: ['get', 'patch', 'update'] }] : [];
