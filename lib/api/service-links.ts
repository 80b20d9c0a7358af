import type { Pod } from './objects.ts';

/**
 * Which Services of its namespace a pod is told of by environment variables: their names with commas. Without it, of all; empty, of none.
 * The Service `kubernetes` is always told. Checked when the pod or a template of it is written (demand E4).
 */
export const serviceLinksAnnotation = 'troupe.dev/service-links';

/** The names that a pod declares; undefined: all Services. */
export function declaredLinks({ metadata: { annotations } }: Pick<Pod, 'metadata'>): ReadonlySet<string> | undefined {
  const text = annotations?.[serviceLinksAnnotation];
  return text === undefined ? undefined : new Set(linkNames(text));
}

export const linkNames = (text: string): readonly string[] =>
  text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
