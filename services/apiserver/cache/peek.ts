/**
 * Reads a few members out of the JSON of an object without building the rest: what files an object is a few names in a
 * kilobyte or two. The text must be JSON as `JSON.stringify` writes it (no white space between tokens).
 */
export interface Wanted {
  readonly name: Buffer;
  /** Where the value goes in the answer; for an object or list its raw text. -1: only what is inside is wanted. */
  readonly slot: number;
  readonly inside: readonly Wanted[];
}

/** A look at these paths (`spec.nodeName`): the answers come in their order. */
export function wantedPaths(paths: readonly string[]): readonly Wanted[] {
  return branch(paths.map((path, slot) => ({ parts: path.split('.'), slot })));
}

function branch(paths: readonly { readonly parts: readonly string[]; readonly slot: number }[]): readonly Wanted[] {
  const firsts = [...new Set(paths.map(({ parts }) => parts[0] ?? ''))];
  return firsts.map((first) => {
    const here = paths.filter(({ parts }) => parts[0] === first);
    const deeper = here.filter(({ parts }) => parts.length > 1);
    return {
      name: Buffer.from(first),
      slot: here.find(({ parts }) => parts.length === 1)?.slot ?? -1,
      inside: branch(deeper.map(({ parts, slot }) => ({ parts: parts.slice(1), slot }))),
    };
  });
}

/** The values as text, the empty one where there is none. */
export function peek(json: Buffer, wanted: readonly Wanted[], slots: number): string[] {
  const found = new Array<string>(slots).fill('');
  if (json[0] === openObject) walk(json, 0, wanted, found);
  return found;
}

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const openObject = 0x7b;
const openList = 0x5b;
const closeObject = 0x7d;
const closeList = 0x5d;

/** Over the members of an object that begins at `at`; answers the place after it. */
function walk(json: Buffer, at: number, wanted: readonly Wanted[], found: string[]): number {
  let i = at + 1;
  while (i < json.length && json[i] !== closeObject) {
    if (json[i] === comma) i++;
    const keyStart = i + 1;
    const keyEnd = afterString(json, i) - 1;
    const value = keyEnd + 2;
    const want = nameAt(json, keyStart, keyEnd, wanted);
    if (want === undefined) i = afterValue(json, value);
    else if (want.inside.length > 0 && json[value] === openObject) i = walk(json, value, want.inside, found);
    else {
      i = afterValue(json, value);
      if (want.slot >= 0) found[want.slot] = textOf(json, value, i);
    }
  }
  return i + 1;
}

function nameAt(json: Buffer, start: number, end: number, wanted: readonly Wanted[]): Wanted | undefined {
  for (const want of wanted) {
    const { name } = want;
    if (name.length !== end - start) continue;
    let i = 0;
    while (i < name.length && name[i] === json[start + i]) i++;
    if (i === name.length) return want;
  }
  return undefined;
}

/** A string without its quotes; anything else as it is written. */
function textOf(json: Buffer, start: number, end: number): string {
  if (json[start] !== quote) return json.toString('utf8', start, end);
  for (let i = start + 1; i < end - 1; i++) {
    if (json[i] === backslash) return JSON.parse(json.toString('utf8', start, end)) as string;
  }
  return json.toString('utf8', start + 1, end - 1);
}

function afterString(json: Buffer, at: number): number {
  let i = at + 1;
  while (i < json.length && json[i] !== quote) i += json[i] === backslash ? 2 : 1;
  return i + 1;
}

function afterValue(json: Buffer, at: number): number {
  const first = json[at];
  if (first === quote) return afterString(json, at);
  let i = at;
  if (first !== openObject && first !== openList) {
    while (i < json.length && json[i] !== comma && json[i] !== closeObject && json[i] !== closeList) i++;
    return i;
  }
  let depth = 0;
  do {
    const byte = json[i];
    if (byte === quote) {
      i = afterString(json, i);
      continue;
    }
    if (byte === openObject || byte === openList) depth++;
    else if (byte === closeObject || byte === closeList) depth--;
    i++;
  } while (depth > 0 && i < json.length);
  return i;
}
