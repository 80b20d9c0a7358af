import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import {
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  type Document,
  type Node,
} from 'yaml';
import { fromAutoscalingV1 } from '../lib/api/autoscaling-v1.ts';
import { parseJson } from '../lib/api/codec/json.ts';
import { isObject, type Json } from '../lib/api/json.ts';
import { apiVersionOf, type Resource } from '../lib/api/kinds.ts';
import type { CustomResourceDefinition } from '../lib/api/objects.ts';
import { kindInfo, knownResources, learnKinds, resourceFor } from './kinds.ts';
import type { Session } from './session.ts';
import type { Locate } from './report.ts';
import { UsageError, type Shell } from './shell.ts';

/** One object of a manifest, with its place, so that every later error can name it. */
export interface ManifestObject {
  readonly resource: Resource;
  /** Of the metadata; undefined where the manifest leaves it to the command. */
  readonly namespace: string | undefined;
  readonly name: string;
  /** As written: nothing added, nothing taken away; an autoscaler of autoscaling/v1 as v2. */
  readonly object: Json;
  /** `web.yaml:12` */
  readonly place: string;
  readonly locate: Locate;
}

/** Text and where it comes from. */
export interface Source {
  readonly name: string;
  readonly text: string;
}

/** All that is wrong with the manifests, each with its place: found before anything is sent. */
export class ManifestError extends Error {
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(
      problems.length === 1
        ? (problems[0] ?? '')
        : `the manifests have ${problems.length} errors:\n${problems.join('\n')}`,
    );
    this.name = 'ManifestError';
    this.problems = problems;
  }
}

const extensions = ['.yaml', '.yml', '.json'];
/** More than any manifest; a larger one is most likely not one. */
const maxBytes = 64 * 1024 * 1024;

/**
 * The texts behind `-f`: a file, a folder (its .yaml, .yml and .json files by name; those of its folders too when
 * `recursive`), or `-` for standard input. URLs are refused: see the message.
 */
export async function readSources(paths: readonly string[], recursive: boolean, shell: Shell): Promise<Source[]> {
  if (paths.length === 0) throw new UsageError('name what to read with -f: a file, a folder, or - for standard input');
  const sources: Source[] = [];
  for (const path of paths) {
    if (/^[a-z][a-z0-9+.-]*:\/\//i.test(path)) throw new UsageError(urlRefusal(path));
    if (path === '-') sources.push({ name: 'standard input', text: await shell.readStdin() });
    else sources.push(...(await readPath(path, recursive)));
  }
  return sources;
}

const urlRefusal = (url: string): string =>
  `-f ${url}: manifests are not read from the network, so that what is applied is what you have seen. ` +
  `Fetch it, read it, apply it: curl -fLo ${basename(url.replace(/[?#].*$/, ''))} ${url}`;

async function readPath(path: string, recursive: boolean): Promise<Source[]> {
  const found = await stat(path).catch((error: unknown) => {
    throw new UsageError(`-f ${path}: ${whyUnreadable(error)}`);
  });
  if (!found.isDirectory()) return [{ name: path, text: await readText(path, found.size) }];
  const files = await filesIn(path, recursive);
  if (files.length === 0) {
    throw new UsageError(
      `-f ${path}: the folder has no ${extensions.join(', ')} file${recursive ? '' : ' (-R looks into its folders too)'}`,
    );
  }
  return Promise.all(files.map(async (file) => ({ name: file, text: await readText(file, (await stat(file)).size) })));
}

async function filesIn(folder: string, recursive: boolean): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const byName = entries.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const found = await Promise.all(
    byName.map(async (entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return recursive ? filesIn(path, recursive) : [];
      return extensions.includes(extname(entry.name)) ? [path] : [];
    }),
  );
  return found.flat();
}

async function readText(path: string, size: number): Promise<string> {
  if (size > maxBytes) throw new UsageError(`-f ${path}: ${size} bytes; a manifest has at most ${maxBytes}`);
  return readFile(path, 'utf8').catch((error: unknown) => {
    throw new UsageError(`-f ${path}: ${whyUnreadable(error)}`);
  });
}

function whyUnreadable(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return 'there is no such file or folder';
  if (code === 'EACCES') return 'you may not read it';
  return (error as Error).message;
}

/**
 * Every object of the sources, Lists taken apart, in the order written. Throws ManifestError with all that is wrong:
 * syntax, a missing or unknown kind, a missing name, an object declared twice. Field rules are the server's.
 */
export function parseManifests(sources: readonly Source[], defaultNamespace: string): ManifestObject[] {
  const problems: string[] = [];
  const objects = sources.flatMap((source) => parseSource(source, problems));
  const seen = new Map<string, string>();
  for (const { resource, namespace, name, place } of objects) {
    const scope = kindInfo(resource).namespaced ? (namespace ?? defaultNamespace) : '';
    const key = `${resource}/${scope}/${name}`;
    const before = seen.get(key);
    if (before !== undefined) {
      problems.push(`${place}: ${kindInfo(resource).kind} "${name}" is declared twice; the first is at ${before}`);
    }
    seen.set(key, place);
  }
  if (problems.length > 0) throw new ManifestError(problems);
  if (objects.length === 0) {
    throw new ManifestError([`${sources.map((source) => source.name).join(', ')}: no object in it`]);
  }
  return objects;
}

/** As `parseManifests`, with the kinds that the cluster has of its own, and those that the manifests themselves define. */
export async function readManifests(session: Session, sources: readonly Source[]): Promise<ManifestObject[]> {
  const { namespace } = session.globals;
  try {
    return parseManifests(sources, namespace);
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    try {
      await learnKinds(session, definitionsIn(sources));
    } catch {
      throw error; // that the cluster cannot be asked is no news beside what is wrong here
    }
    return parseManifests(sources, namespace);
  }
}

const definitionsIn = (sources: readonly Source[]): readonly CustomResourceDefinition[] =>
  sources.flatMap((source) =>
    parseSource(source, [])
      .filter(({ resource }) => resource === 'customresourcedefinitions')
      .map(({ object }) => object as unknown as CustomResourceDefinition)
      .filter(({ spec }) => isObject(spec) && isObject(spec.names) && Array.isArray(spec.versions)),
  );

function parseSource(source: Source, problems: string[]): ManifestObject[] {
  const notJson = jsonProblem(source);
  if (notJson !== undefined) {
    problems.push(notJson);
    return [];
  }
  const lines = new LineCounter();
  const documents = parseAllDocuments(source.text, {
    lineCounter: lines,
    prettyErrors: false,
    merge: true,
    uniqueKeys: true,
    customTags: (tags) => [oldOctal, ...tags],
  });
  if (!Array.isArray(documents)) return [];
  const objects: ManifestObject[] = [];
  for (const document of documents) {
    const at = (offset: number): string => {
      const { line, col } = lines.linePos(offset);
      return `${source.name}:${line}:${col}`;
    };
    const [error] = document.errors; // those after it mostly follow from it
    if (error !== undefined) {
      problems.push(`${at(error.pos[0])}: ${error.message}`);
      continue;
    }
    const value = valueOf(document, problems, at);
    if (value === undefined || value === null) continue; // nothing between two `---`
    const start = document.contents?.range?.[0] ?? document.range[0];
    objects.push(...objectsOf(value, [], { document, at, start, problems }));
  }
  return objects;
}

/**
 * What is wrong with a text that means to be JSON, by its name or its first character. YAML would read on in its own way
 * (`{"kind": }` as null). What is right is read as YAML all the same, of which it is a part, for the places of its fields.
 */
function jsonProblem({ name, text }: Source): string | undefined {
  if (extname(name) !== '.json' && !/^\s*\{/.test(text)) return undefined;
  try {
    const { duplicates } = parseJson(Buffer.from(text));
    return duplicates.length === 0
      ? undefined
      : `${name}: ${duplicates.map((path) => `"${path}" is given twice`).join(', ')}`;
  } catch (error) {
    const message = (error as Error).message;
    const place = / at line (\d+), column (\d+)$/.exec(message);
    return place === null ? `${name}: ${message}` : `${name}:${place[1]}:${place[2]}: ${message.slice(0, place.index)}`;
  }
}

function valueOf(document: Document.Parsed, problems: string[], at: (offset: number) => string): unknown {
  try {
    return document.toJS({ maxAliasCount: 1000 }) as unknown;
  } catch (error) {
    problems.push(`${at(document.range[0])}: ${(error as Error).message}`); // an alias without anchor, or a bomb of them
    return undefined;
  }
}

/** `0644` as public manifests have it for file modes: YAML 1.1 read it as octal, YAML 1.2 would read 644. */
const oldOctal = {
  tag: 'tag:yaml.org,2002:int',
  default: true,
  test: /^0[0-7]+$/,
  resolve: (text: string): number => Number.parseInt(text, 8),
} as const;

interface Context {
  readonly document: Document.Parsed;
  readonly at: (offset: number) => string;
  readonly start: number;
  readonly problems: string[];
}
type Path = readonly (string | number)[];

function objectsOf(value: unknown, path: Path, context: Context): ManifestObject[] {
  const { at, problems } = context;
  const place = at(nodeAt(context.document, path)?.range?.[0] ?? context.start).replace(/:\d+$/, '');
  if (!isObject(value)) {
    problems.push(`${place}: not an object but ${Array.isArray(value) ? 'a list' : JSON.stringify(value)}`);
    return [];
  }
  const { apiVersion, kind, metadata } = value;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') {
    const field = typeof apiVersion !== 'string' ? 'apiVersion' : 'kind';
    problems.push(`${place}: ${field}: ${value[field] === undefined ? 'missing' : 'must be a text'}`);
    return [];
  }
  if (kind.endsWith('List') && Array.isArray(value['items'])) {
    return value['items'].flatMap((item, index) =>
      objectsOf(withKind(item, kind, apiVersion), [...path, 'items', index], context),
    );
  }
  const resource = resourceFor(apiVersion, kind);
  if (resource === undefined) {
    problems.push(`${place}: there is no kind "${kind}" in version "${apiVersion}". ${kindAdvice(kind)}`);
    return [];
  }
  const name = isObject(metadata) ? metadata['name'] : undefined;
  const namespace = isObject(metadata) ? metadata['namespace'] : undefined;
  if (typeof name !== 'string' || name === '') {
    problems.push(
      `${place}: ${kind}: metadata.name: ${name === undefined ? 'missing' : 'must be a text, in quotes where it looks like a number'}`,
    );
    return [];
  }
  if (namespace !== undefined && typeof namespace !== 'string') {
    problems.push(`${place}: ${kind} "${name}": metadata.namespace: must be a text`);
    return [];
  }
  const locate: Locate = (field) => {
    const offset = nearestOffset(context.document, [...path, ...fieldPath(field)], path.length);
    return offset === undefined ? undefined : at(offset);
  };
  // What is compared with the cluster's state is in the version in which that is kept.
  const object = resource === 'horizontalpodautoscalers' ? (fromAutoscalingV1(value) as Json) : value;
  return [{ resource, namespace, name, object, place, locate }];
}

/** The items of a `PodList` may leave out what the list says. */
function withKind(item: unknown, listKind: string, apiVersion: string): unknown {
  if (!isObject(item) || listKind === 'List') return item;
  return { apiVersion, kind: listKind.slice(0, -'List'.length), ...item };
}

function kindAdvice(kind: string): string {
  const same = knownResources().filter((resource) => kindInfo(resource).kind.toLowerCase() === kind.toLowerCase());
  const known = (same.length > 0 ? same : knownResources()).map(
    (resource) => `${kindInfo(resource).kind} (${apiVersionOf(kindInfo(resource))})`,
  );
  return `${same.length > 0 ? 'There is' : 'There are'} ${known.join(', ')}`;
}

/** `spec.containers[0].name` as steps; keys with dots come in brackets, as in `metadata.labels[a.b/c]`. */
function fieldPath(field: string): (string | number)[] {
  return [...field.matchAll(/\[([^\]]*)\]|([^.[\]]+)/g)].map(([, bracketed, plain]) => {
    const step = bracketed ?? plain ?? '';
    return bracketed !== undefined && /^\d+$/.test(step) ? Number(step) : step.replace(/^"(.*)"$/, '$1');
  });
}

/** The offset of the deepest part of the path that is there: a missing field is missing from its parent. */
function nearestOffset(document: Document.Parsed, path: Path, atLeast: number): number | undefined {
  for (let length = path.length; length >= atLeast; length--) {
    const key = keyOffset(document, path.slice(0, length));
    if (key !== undefined) return key;
  }
  return undefined;
}

/** Where the key of a field stands, or the item of a list. */
function keyOffset(document: Document.Parsed, path: Path): number | undefined {
  const last = path.at(-1);
  const parent = nodeAt(document, path.slice(0, -1));
  if (last === undefined) return document.contents?.range?.[0];
  if (isMap(parent)) {
    const pair = parent.items.find(
      (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(last),
    );
    return isScalar(pair?.key) ? pair.key.range?.[0] : undefined;
  }
  return nodeAt(document, path)?.range?.[0];
}

function nodeAt(document: Document.Parsed, path: Path): Node | undefined {
  let node: unknown = document.contents;
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (!isMap(node) && !isSeq(node)) return undefined;
    node = node.get(step, true);
  }
  if (isAlias(node)) node = node.resolve(document);
  return isMap(node) || isSeq(node) || isScalar(node) ? node : undefined;
}
