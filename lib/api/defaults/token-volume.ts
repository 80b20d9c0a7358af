import { isObject, listAt, objectAt, objectsAt, textAt, type Json, type MutableJson } from '../json.ts';

/** The volume that pods are given for their token has a name that begins so. */
export const tokenVolumePrefix = 'kube-api-access-';
/** Where containers find the token, and the name of their namespace. */
export const tokenFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The ConfigMap of every namespace by which pods know the API, and the key in it. */
export const rootCertificates = { name: 'kube-root-ca.crt', key: 'ca.crt' } as const;

export const isTokenMount = (mount: Json): boolean => textAt(mount, 'mountPath').replace(/\/+$/, '') === tokenFolder;

/** Carries the volume that a pod was given when it was made, with its mounts, into a replacement that does not name it. */
export function keepTokenVolume(next: MutableJson, previous: Json): void {
  const [spec, before] = [objectAt(next, 'spec') as MutableJson, objectAt(previous, 'spec')];
  const given = objectsAt(before, 'volumes').find((volume) => textAt(volume, 'name').startsWith(tokenVolumePrefix));
  const volumes = objectsAt(spec, 'volumes');
  if (given === undefined || !isObject(next['spec']) || volumes.some(({ name }) => name === given['name'])) return;
  spec['volumes'] = [...volumes, given];
  for (const list of ['initContainers', 'containers']) {
    for (const container of objectsAt(spec, list) as readonly MutableJson[]) {
      const was = objectsAt(before, list).find(({ name }) => name === container['name']) ?? {};
      const mount = objectsAt(was, 'volumeMounts').find(({ name }) => name === given['name']);
      const mounts = listAt(container, 'volumeMounts');
      if (mount !== undefined) container['volumeMounts'] = [...mounts, mount];
    }
  }
}
