import { createHash } from 'node:crypto';
import { messageOfKind } from '../../../../lib/api/codec/schema.ts';
import type { KindSource } from '../../registry/kinds.ts';
import { catalogue, type CatalogueEntry, type GroupVersion } from '../catalogue.ts';
import { pathOf } from '../discovery.ts';
import { bytesReply, jsonReply, type RestReply, type RestRequest } from '../message.ts';
import { patchTypes } from '../patch-body.ts';
import { serverVersion } from '../version.ts';
import { customName, customRef, customSchema } from './custom.ts';
import { schemaRef, schemasFor, type TypeOfKind } from './schemas.ts';

type Json = Readonly<Record<string, unknown>>;

const root = '/openapi/v3';
const type = 'application/json';

interface Document {
  readonly bytes: Buffer;
  /** Changes with the document, so that clients may keep it for as long as it is the same. */
  readonly hash: string;
}

/**
 * The API described for programs (OpenAPI 3.0), a document a group and version, made from the table that validates: clients check objects
 * before they send them, and `kubectl explain` reads it out. Undefined for a path that asks something else.
 */
export function describeApi(kinds: KindSource, request: RestRequest): RestReply | undefined {
  if (!request.path.startsWith(root)) return undefined;
  const rest = request.path.slice(root.length).replace(/\/$/, '');
  const groups = catalogue(kinds);
  const documentOf = documentsOf(kinds);
  if (rest === '') return jsonReply(indexOf(groups, documentOf));
  const found = groups.find((each) => pathOf(each) === rest);
  if (found === undefined) return undefined;
  const { bytes, hash } = documentOf(found);
  return { ...bytesReply(bytes), headers: { etag: `"${hash}"` } };
}

type Documents = (group: GroupVersion) => Document;

const indexOf = (groups: readonly GroupVersion[], documentOf: Documents): object => ({
  paths: Object.fromEntries(
    groups.map((each) => [
      pathOf(each).slice(1),
      { serverRelativeURL: `${root}${pathOf(each)}?hash=${documentOf(each).hash}` },
    ]),
  ),
});

/** Made when first asked for, and again when a definition has changed. */
const made = new WeakMap<KindSource, { readonly state: number; readonly documents: Map<string, Document> }>();

function documentsOf(kinds: KindSource): Documents {
  const { state } = kinds;
  let known = made.get(kinds);
  if (known?.state !== state) made.set(kinds, (known = { state, documents: new Map() }));
  const { documents } = known;
  return (group) => {
    const key = pathOf(group);
    const before = documents.get(key);
    if (before !== undefined) return before;
    const bytes = Buffer.from(JSON.stringify(openApi(group)));
    const document = { bytes, hash: createHash('sha256').update(bytes).digest('hex').slice(0, 32).toUpperCase() };
    documents.set(key, document);
    return document;
  };
}

function openApi(group: GroupVersion): object {
  const types = new Map<string, TypeOfKind[]>([
    ['DeleteOptions', [{ group: group.group, version: group.version, kind: 'DeleteOptions' }]],
  ]);
  const own: Record<string, Json> = {};
  for (const entry of group.entries) {
    const { info, at } = entry;
    if (at !== undefined) {
      own[customName(info)] = customSchema(info, at);
      types.set('ObjectMeta', []);
    }
    if (at !== undefined || messageOfKind(info.kind) === undefined) continue;
    types.set(info.kind, [{ group: group.group, version: group.version, kind: info.kind }]);
  }
  return {
    openapi: '3.0.0',
    info: { title: 'Troupe', version: serverVersion.gitVersion },
    paths: Object.assign({}, ...group.entries.map((entry) => pathsOf(group, entry))) as Json,
    components: { schemas: { ...schemasFor(types), ...own } },
  };
}

function pathsOf(group: GroupVersion, entry: CatalogueEntry): Json {
  const { info, verbs } = entry;
  const place = `${pathOf(group)}${info.namespaced ? '/namespaces/{namespace}' : ''}/${info.resource}`;
  const parameters = info.namespaced ? [inPath('namespace')] : [];
  const named = [...parameters, inPath('name')];
  const operation = operations(group, entry);
  const those = (...actions: readonly Action[]): Json =>
    Object.fromEntries(
      actions.filter((action) => verbs.includes(verbOf[action])).map((action) => [methodOf[action], operation(action)]),
    );
  const paths: Record<string, Json> = { [place]: { parameters, ...those('list', 'post', 'deletecollection') } };
  if (verbs.includes('get'))
    paths[`${place}/{name}`] = { parameters: named, ...those('get', 'put', 'patch', 'delete') };
  if (info.namespaced && verbs.includes('list')) paths[`${pathOf(group)}/${info.resource}`] = those('list');
  const parts = [...(info.hasStatus ? ['status'] : []), ...(info.kind === 'Pod' ? ['ephemeralcontainers'] : [])];
  for (const part of parts) paths[`${place}/{name}/${part}`] = { parameters: named, ...those('get', 'put', 'patch') };
  return paths;
}

type Action = keyof typeof queries;
type Operation = (action: Action) => Json;
const verbOf: Readonly<Record<Action, string>> = {
  ...{ get: 'get', list: 'list', post: 'create', put: 'update', patch: 'patch' },
  ...{ delete: 'delete', deletecollection: 'deletecollection' },
};
const methodOf: Readonly<Record<Action, string>> = {
  ...{ get: 'get', list: 'get', post: 'post', put: 'put', patch: 'patch' },
  ...{ delete: 'delete', deletecollection: 'delete' },
};

const inPath = (name: string): Json => ({ name, in: 'path', required: true, schema: { type: 'string' } });
const inQuery = (name: string, schema: string): Json => ({ name, in: 'query', schema: { type: schema } });

const writing = [inQuery('dryRun', 'string'), inQuery('fieldManager', 'string'), inQuery('fieldValidation', 'string')];
const queries = {
  get: [],
  list: [
    ...['labelSelector', 'fieldSelector', 'continue', 'resourceVersion', 'resourceVersionMatch'].map((name) =>
      inQuery(name, 'string'),
    ),
    ...['limit', 'timeoutSeconds'].map((name) => inQuery(name, 'integer')),
    ...['watch', 'allowWatchBookmarks', 'sendInitialEvents'].map((name) => inQuery(name, 'boolean')),
  ],
  post: writing,
  put: writing,
  patch: [...writing, inQuery('force', 'boolean')],
  delete: [
    inQuery('dryRun', 'string'),
    inQuery('gracePeriodSeconds', 'integer'),
    inQuery('propagationPolicy', 'string'),
  ],
  deletecollection: [
    inQuery('labelSelector', 'string'),
    inQuery('fieldSelector', 'string'),
    inQuery('dryRun', 'string'),
  ],
} as const;

const builtInRef = (kind: string): Json => (messageOfKind(kind) === undefined ? { type: 'object' } : schemaRef(kind));

/** The operations on the objects of a kind. */
function operations({ group, version }: GroupVersion, { info, at }: CatalogueEntry): Operation {
  const kind = { group, version, kind: info.kind };
  const object = at === undefined ? builtInRef(info.kind) : customRef(info);
  const content = (schema: Json): Json => ({ [type]: { schema } });
  const takes: Partial<Record<Action, Json>> = {
    post: content(object),
    put: content(object),
    patch: Object.fromEntries(
      Object.entries(patchTypes)
        .filter(([name]) => at === undefined || name !== 'strategic')
        .map(([, each]) => [each, { schema: { type: 'object' } }]),
    ),
    delete: content(schemaRef('DeleteOptions')),
  };
  return (action) => ({
    tags: [group === '' ? `core_${version}` : `${group}_${version}`],
    operationId: `${action}${info.kind}`,
    parameters: queries[action],
    ...(takes[action] === undefined ? {} : { requestBody: { content: takes[action] } }),
    responses: { 200: { description: 'OK', content: content(object) } },
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': kind,
  });
}
