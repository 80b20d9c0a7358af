import { copyJson, type Json, type MutableJson } from '../../lib/api/json.ts';

/**
 * A copy of an object with values put at paths such as `spec.containers[0].image`; undefined takes the member away, and
 * objects and lists that are missing on the way are made. What a rule is about stands alone in its test this way.
 */
export function changed(object: object, changes: Json): MutableJson {
  const copy = copyJson(object) as MutableJson;
  for (const [path, value] of Object.entries(changes)) set(copy, stepsOf(path), copyJson(value));
  return copy;
}

/** `a.b[0]` in steps; a step in quotes may hold dots: `metadata.labels."example.com/a"`. */
const stepsOf = (path: string): readonly (string | number)[] =>
  [...path.matchAll(/"([^"]*)"|\[([0-9]+)\]|([^.[\]"]+)/g)].map((found) =>
    found[2] === undefined ? (found[1] ?? found[3] ?? '') : Number(found[2]),
  );

function set(root: MutableJson, steps: readonly (string | number)[], value: unknown): void {
  let at = root;
  steps.forEach((step, index) => {
    if (index === steps.length - 1) {
      if (value === undefined) delete at[step];
      else at[step] = value;
    } else {
      at[step] ??= typeof steps[index + 1] === 'number' ? [] : {};
      at = at[step] as MutableJson;
    }
  });
}
