import { UsageError } from '../shell.ts';

/** Where a file is: in a pod, or here. */
export type Place = PodPlace | { readonly pod?: undefined; readonly path: string };

export interface PodPlace {
  readonly namespace: string;
  readonly pod: string;
  /** Absolute. */
  readonly path: string;
}

/**
 * Reads `web-1:/var/log`, `shop/web-1:/var/log`, `./here`. What begins with `/` or `.`, or has no colon, is here; a path in a pod that
 * is not absolute begins at its root. Throws UsageError.
 */
export function parsePlace(text: string, namespace: string): Place {
  const colon = text.indexOf(':');
  if (text === '') throw new UsageError('a path is empty');
  if (colon < 0 || /^[./]/.test(text)) return { path: text };
  const parts = /^(?:([a-z0-9.-]+)\/)?(?:pod\/|pods\/)?([a-z0-9.-]+)$/.exec(text.slice(0, colon));
  const [, given, pod] = parts ?? [];
  const path = text.slice(colon + 1);
  if (pod === undefined)
    throw new UsageError(`"${text}": write POD:PATH or NAMESPACE/POD:PATH; ./${text} for a file here`);
  if (path === '') throw new UsageError(`"${text}": name a path in the pod after the colon`);
  const isKind = given === 'pod' || given === 'pods';
  return {
    namespace: given === undefined || isKind ? namespace : given,
    pod,
    path: path.startsWith('/') ? path : `/${path}`,
  };
}
