import type { PodTemplateSpec } from '../api/objects.ts';

/** No vowels, so that no words come out, and no digits that look like letters. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';

/** The same for the same template, whatever the order of its members; `collisions` gives another where two met. FNV-1a, 32 bits. */
export const hashOf = (template: PodTemplateSpec, collisions: number): string =>
  hashText(`${collisions}${stable(template)}`);

/** Seven letters for a text. */
export function hashText(from: string): string {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(from)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  let text = '';
  for (let rest = hash; text.length < 7; rest = Math.floor(rest / alphabet.length))
    text += alphabet.charAt(rest % alphabet.length);
  return text;
}

const stable = (value: unknown): string =>
  JSON.stringify(value, (_, item: unknown) =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
