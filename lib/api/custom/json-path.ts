import { isObject } from '../json.ts';

/**
 * The part of JSONPath that definitions use to point into objects: `.spec.replicas`, `.metadata.labels['a.b']`, `.spec.ports[0].port`,
 * `.status.conditions[?(@.type=="Ready")].status`, `.spec.items[*].name`.
 */
export type JsonPath = readonly Step[];
type Step =
  | { readonly by: 'member'; readonly name: string }
  | { readonly by: 'index'; readonly index: number }
  | { readonly by: 'all' }
  | { readonly by: 'filter'; readonly path: JsonPath; readonly equal: boolean; readonly value: unknown };

const known = new Map<string, JsonPath | undefined>();
const maxKnown = 2_000;

/** Undefined when the text is none that is understood here. */
export function parseJsonPath(text: string): JsonPath | undefined {
  if (known.has(text)) return known.get(text);
  if (known.size >= maxKnown) known.clear();
  const path = parse(text);
  known.set(text, path);
  return path;
}

const member = /^\.((?:[^.[\]\\]|\\.)+)/;
const quoted = /^\[(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\]/;
const index = /^\[(-?\d+)\]/;
const all = /^(?:\[\*\]|\.\*)/;
const filter = /^\[\?\(@((?:\.[\w-]+|\['[^']*'\])+)\s*(==|!=)\s*("[^"]*"|'[^']*'|[\w.+-]+)\)\]/;

function parse(text: string): JsonPath | undefined {
  const steps: Step[] = [];
  let rest = text.startsWith('$') ? text.slice(1) : text;
  if (rest !== '' && !/^[.[]/.test(rest)) rest = `.${rest}`;
  while (rest !== '') {
    const found = stepAt(rest);
    if (found === undefined) return undefined;
    steps.push(found.step);
    rest = rest.slice(found.length);
  }
  return steps;
}

function stepAt(rest: string): { readonly step: Step; readonly length: number } | undefined {
  let found = all.exec(rest);
  if (found !== null) return { step: { by: 'all' }, length: found[0].length };
  found = member.exec(rest);
  if (found !== null) return { step: { by: 'member', name: unescaped(found[1] ?? '') }, length: found[0].length };
  found = quoted.exec(rest);
  if (found !== null)
    return { step: { by: 'member', name: unescaped(found[1] ?? found[2] ?? '') }, length: found[0].length };
  found = index.exec(rest);
  if (found !== null) return { step: { by: 'index', index: Number(found[1]) }, length: found[0].length };
  found = filter.exec(rest);
  if (found === null) return undefined;
  const path = parse(found[1] ?? '');
  if (path === undefined) return undefined;
  const step = { by: 'filter', path, equal: found[2] === '==', value: literal(found[3] ?? '') } as const;
  return { step, length: found[0].length };
}

const unescaped = (text: string): string => text.replace(/\\(.)/g, '$1');

function literal(text: string): unknown {
  if (/^["']/.test(text)) return text.slice(1, -1);
  if (text === 'true' || text === 'false') return text === 'true';
  return Number.isNaN(Number(text)) ? text : Number(text);
}

/** Everything that a path finds in a value. */
export function valuesAt(path: JsonPath, value: unknown): readonly unknown[] {
  let found: readonly unknown[] = [value];
  for (const step of path) found = found.flatMap((each) => next(step, each));
  return found;
}

function next(step: Step, value: unknown): readonly unknown[] {
  switch (step.by) {
    case 'member':
      return isObject(value) && Object.hasOwn(value, step.name) ? [value[step.name]] : [];
    case 'index': {
      const item: unknown = Array.isArray(value) ? value.at(step.index) : undefined;
      return item === undefined ? [] : [item];
    }
    case 'all':
      return Array.isArray(value) ? value : isObject(value) ? Object.values(value) : [];
    case 'filter':
      return Array.isArray(value)
        ? value.filter((item) => valuesAt(step.path, item).some((each) => each === step.value) === step.equal)
        : [];
  }
}

/** The members by which a plain path goes, such as `.spec.replicas`; undefined for any other. */
export function plainSteps(text: string): readonly string[] | undefined {
  const path = parseJsonPath(text);
  const names = path?.map((step) => (step.by === 'member' ? step.name : undefined)) ?? [];
  return names.length > 0 && names.every((name) => name !== undefined) ? names : undefined;
}
