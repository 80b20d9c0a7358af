import type { KindSource } from '../registry/kinds.ts';
import { catalogue, type CatalogueEntry, type Extra, type GroupVersion } from './catalogue.ts';
import { compareVersions } from './versions.ts';
import { jsonReply, type RestReply, type RestRequest } from './message.ts';

/** The media type of discovery in one answer for all groups. */
const aggregated = /^application\/json;g=apidiscovery\.k8s\.io;v=(v2|v2beta1);as=APIGroupDiscoveryList$/;

/**
 * What is served, told to clients that ask before they begin (Kubernetes API, "Discovery"): by group and version in pieces, or in two
 * answers where the client takes the aggregated form. Undefined for a path that asks something else.
 */
export function discover(kinds: KindSource, request: RestRequest): RestReply | undefined {
  const path = request.path.replace(/\/$/, '');
  const groups = catalogue(kinds);
  const whole = aggregatedVersion(request.header('accept'));
  if (path === '/api') return whole === undefined ? jsonReply(coreVersions) : together(whole, groups.filter(isCore));
  if (path === '/apis')
    return whole === undefined ? jsonReply(groupList(groups)) : together(whole, groups.filter(isNamed));
  const found = groups.find((each) => path === pathOf(each));
  if (found !== undefined) return jsonReply(resourceList(found));
  const named = byGroup(groups.filter(isNamed)).find(([{ group }]) => path === `/apis/${group}`);
  return named === undefined ? undefined : jsonReply({ kind: 'APIGroup', apiVersion: 'v1', ...groupOf(named) });
}

export const pathOf = ({ group, version }: GroupVersion): string =>
  group === '' ? `/api/${version}` : `/apis/${group}/${version}`;

/** Where a person may look further (`kubectl get --raw /`). */
export const rootPaths = (kinds: KindSource): readonly string[] => [
  ...[
    '/api',
    '/apis',
    ...catalogue(kinds).flatMap((each) => (isCore(each) ? ['/api/v1'] : [`/apis/${each.group}`, pathOf(each)])),
  ],
  ...['/healthz', '/livez', '/metrics', '/openapi/v2', '/openapi/v3', '/readyz', '/version'],
];

const isCore = ({ group }: GroupVersion): boolean => group === '';
const isNamed = (each: GroupVersion): boolean => !isCore(each);

const coreVersions = { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] };

type Group = readonly [GroupVersion, ...GroupVersion[]];

/** The versions of each group, those that clients should rather use first. */
function byGroup(all: readonly GroupVersion[]): readonly Group[] {
  const groups = new Map<string, [GroupVersion, ...GroupVersion[]]>();
  for (const each of all) {
    const known = groups.get(each.group);
    if (known === undefined) groups.set(each.group, [each]);
    else known.push(each);
  }
  for (const versions of groups.values()) versions.sort((a, b) => compareVersions(a.version, b.version));
  return [...groups.values()];
}

function groupOf(versions: Group): object {
  const told = versions.map(({ group, version }) => ({ groupVersion: `${group}/${version}`, version }));
  return { name: versions[0].group, versions: told, preferredVersion: told[0] };
}

const groupList = (groups: readonly GroupVersion[]): object => ({
  kind: 'APIGroupList',
  apiVersion: 'v1',
  groups: byGroup(groups.filter(isNamed)).map(groupOf),
});

const resourceList = ({ group, version, entries }: GroupVersion): object => ({
  kind: 'APIResourceList',
  apiVersion: 'v1',
  groupVersion: group === '' ? version : `${group}/${version}`,
  resources: entries.flatMap(({ info, verbs, categories, extras }) => [
    {
      name: info.resource,
      singularName: info.singular,
      namespaced: info.namespaced,
      kind: info.kind,
      verbs,
      ...(info.shortNames.length === 0 ? {} : { shortNames: info.shortNames }),
      ...(categories.length === 0 ? {} : { categories }),
    },
    ...extras.map((extra) => ({
      name: extra.name,
      singularName: '',
      namespaced: info.namespaced,
      kind: extra.kind,
      verbs: extra.verbs,
      ...(extra.group === undefined ? {} : { group: extra.group }),
      ...(extra.version === undefined ? {} : { version: extra.version }),
    })),
  ]),
});

function aggregatedVersion(accept: string | undefined): string | undefined {
  for (const part of (accept ?? '').split(',')) {
    const found = aggregated.exec(part.replaceAll(' ', ''));
    if (found !== null) return found[1];
  }
  return undefined;
}

/** The aggregated form: one item a group, each with its resources and what is below them. */
function together(version: string, groups: readonly GroupVersion[]): RestReply {
  const list = {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: byGroup(groups).map((versions) => ({
      metadata: versions[0].group === '' ? {} : { name: versions[0].group },
      versions: versions.map((each) => ({
        version: each.version,
        freshness: 'Current',
        resources: each.entries.map((entry) => discovered(each, entry)),
      })),
    })),
  };
  const type = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
  return { status: 200, type, body: Buffer.from(JSON.stringify(list)) };
}

function discovered({ group, version }: GroupVersion, { info, verbs, categories, extras }: CatalogueEntry): object {
  const kindOf = (extra: Pick<Extra, 'kind' | 'group' | 'version'>): object => ({
    group: extra.group ?? group,
    version: extra.version ?? version,
    kind: extra.kind,
  });
  return {
    resource: info.resource,
    responseKind: kindOf(info),
    scope: info.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: info.singular,
    verbs,
    ...(info.shortNames.length === 0 ? {} : { shortNames: info.shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
    subresources: extras.map((extra) => ({
      subresource: extra.name.slice(extra.name.indexOf('/') + 1),
      responseKind: kindOf(extra),
      verbs: extra.verbs,
    })),
  };
}
