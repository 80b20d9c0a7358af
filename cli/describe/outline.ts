/** Text in labelled lines, as `describe` shows an object: labels aligned within a level, levels indented by two. */
export type Outline = readonly Entry[];
export type Entry = readonly [label: string, value: Value];
/** A line, several lines under each other, or a level of its own. Undefined leaves the label out. */
export type Value = string | number | boolean | readonly string[] | { readonly inner: Outline } | undefined;

export const inner = (...entries: Entry[]): { readonly inner: Outline } => ({ inner: entries });

/** The lines, without newlines at their ends. An empty list or level is `<none>`. */
export function renderOutline(outline: Outline, heading: (text: string) => string = (text) => text): string[] {
  return renderLevel(outline, '', heading);
}

function renderLevel(outline: Outline, indent: string, heading: (text: string) => string): string[] {
  const shown = outline
    .filter(([, value]) => value !== undefined)
    .map(([label, value]): Entry => [label, isLevel(value) && isEmpty(value.inner) ? [] : value]);
  const width = Math.max(0, ...shown.filter(([, value]) => !isLevel(value)).map(([label]) => label.length));
  return shown.flatMap(([label, value]) => {
    const title = heading(`${label}:`);
    if (isLevel(value)) {
      return [`${indent}${title}`, ...renderLevel(value.inner, `${indent}  `, (text) => text)];
    }
    const lines = Array.isArray(value) ? (value as readonly string[]) : [String(value)];
    const padding = ' '.repeat(width - label.length + 2);
    const rest = ' '.repeat(width + 3);
    return (lines.length === 0 ? ['<none>'] : lines).map((line, index) =>
      (index === 0 ? `${indent}${title}${padding}${line}` : `${indent}${rest}${line}`).trimEnd(),
    );
  });
}

const isEmpty = (outline: Outline): boolean => outline.every(([, value]) => value === undefined);
const isLevel = (value: Value): value is { readonly inner: Outline } => typeof value === 'object' && 'inner' in value;

/** `a=1` lines sorted by key. */
export const pairs = (map: Readonly<Record<string, string>> | undefined): readonly string[] =>
  Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`);
