const known = new Map<string, RegExp | undefined>();
const maxKnown = 2_000;

/**
 * The expression of a `pattern`. Definitions write them for RE2, which is nearly what we have: its flags in front (`(?i)`) and its
 * ends of text (`\A`, `\z`) are translated. Undefined when the text is no expression.
 */
export function regexOf(pattern: string): RegExp | undefined {
  if (known.has(pattern)) return known.get(pattern);
  if (known.size >= maxKnown) known.clear();
  const regex = compiled(pattern);
  known.set(pattern, regex);
  return regex;
}

function compiled(pattern: string): RegExp | undefined {
  const [, flags = '', rest = ''] = /^(?:\(\?([ims]+)\))?(.*)$/s.exec(pattern) ?? [];
  const text = rest.replaceAll('\\A', '^').replaceAll('\\z', '$').replaceAll('(?P<', '(?<');
  for (const mode of ['u', '']) {
    try {
      return new RegExp(text, flags + mode);
    } catch {
      // Some of what RE2 takes is an error in Unicode mode alone.
    }
  }
  return undefined;
}
