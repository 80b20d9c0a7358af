import {
  isTokenMount,
  rootCertificates,
  tokenFolder,
  tokenVolumePrefix,
} from '../../../lib/api/defaults/token-volume.ts';
import { isObject, listAt, objectsAt, textAt, type Json, type MutableJson } from '../../../lib/api/json.ts';

/** What a pod gets for its talk with the API. */
export interface PodAccess {
  /** Whether pods can reach the API: without, a token would be of no use to them. */
  readonly reachable: boolean;
  /** Whether its namespace has the certificate by which it knows the API. */
  readonly hasRoot: boolean;
  /** The service account of that name, if it is there. */
  readonly account: (name: string) => Json | undefined;
  /** A random number from 0 up to 1. */
  readonly random: () => number;
}

export const defaultAccount = 'default';
const lifetimeSeconds = 3_600;

/** Gives a new pod its service account with the pull secrets of that, and a volume with its token unless it or its account does not want one. */
export function admitPod(pod: MutableJson, access: PodAccess): void {
  const { spec } = pod;
  if (!isObject(spec)) return; // the check of the shape says so
  const own = spec as MutableJson;
  const name = textAt(spec, 'serviceAccountName') || textAt(spec, 'serviceAccount') || defaultAccount;
  own['serviceAccountName'] = name;
  own['serviceAccount'] = name;
  const account = access.account(name) ?? {};
  const secrets = listAt(account, 'imagePullSecrets');
  if (secrets.length > 0 && listAt(spec, 'imagePullSecrets').length === 0)
    own['imagePullSecrets'] = structuredClone(secrets); // they are the account's
  const wanted = spec['automountServiceAccountToken'] ?? account['automountServiceAccountToken'] ?? true;
  if (!access.reachable || wanted !== true) return;
  const containers = [...objectsAt(spec, 'initContainers'), ...objectsAt(spec, 'containers')] as MutableJson[];
  const without = containers.filter((container) => !mounts(container));
  if (without.length === 0) return;
  const volume = `${tokenVolumePrefix}${letters(access.random)}`;
  own['volumes'] = [...listAt(spec, 'volumes'), tokenVolume(volume, access.hasRoot)];
  for (const container of without) {
    const mount = { name: volume, readOnly: true, mountPath: tokenFolder };
    container['volumeMounts'] = [...listAt(container, 'volumeMounts'), mount];
  }
}

const mounts = (container: Json): boolean => objectsAt(container, 'volumeMounts').some(isTokenMount);

const rootItem = { key: rootCertificates.key, path: rootCertificates.key };
const tokenVolume = (name: string, hasRoot: boolean): Json => ({
  name,
  projected: {
    defaultMode: 0o644,
    sources: [
      { serviceAccountToken: { expirationSeconds: lifetimeSeconds, path: 'token' } },
      // Who does not ask by REST needs none of it: a pod need not wait where somebody has deleted it.
      ...(hasRoot ? [{ configMap: { name: rootCertificates.name, items: [rootItem], optional: true } }] : []),
      {
        downwardAPI: {
          items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
        },
      },
    ],
  },
});

const alphabet = 'bcdfghjklmnpqrstvwxz2456789';
const letters = (random: () => number): string =>
  Array.from({ length: 5 }, () => alphabet[Math.floor(random() * alphabet.length)]).join('');
