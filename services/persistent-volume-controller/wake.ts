import { keyOf } from '../../lib/api/keys.ts';
import type { Node, PersistentVolumeClaim } from '../../lib/api/objects.ts';
import { conditionOf } from '../../lib/api/pods.ts';
import { disksFolderAnnotation } from '../../lib/api/storage.ts';
import type { KeyQueue } from '../../lib/controller/controller.ts';
import { claimKeyOf, usedClaimsOf, type Parts } from './parts.ts';
import { isFree } from '../../lib/api/volume-matching.ts';

/** Claims are woken by themselves, by what could be or is their volume, by classes, by their node, and when a pod begins or ends to use them. */
export function wakeClaims(queue: KeyQueue, { claims, volumes, classes, nodes, pods }: Parts): void {
  const add = (list: readonly PersistentVolumeClaim[]): void => {
    for (const claim of list) queue.add(keyOf(claim));
  };
  claims.onChange(({ key }) => {
    queue.add(key);
  });
  volumes.onChange(({ key, before, after }) => {
    add(claims.by('volume', key));
    for (const volume of [before, after]) {
      const claim = volume === undefined ? undefined : claimKeyOf(volume);
      if (claim !== undefined) queue.add(claim);
    }
    const isNowFree = after !== undefined && isFree(after) && (before === undefined || !isFree(before));
    if (isNowFree) add(claims.by('waiting', after.spec.storageClassName ?? ''));
  });
  classes.onChange(({ key }) => {
    add(claims.by('waiting', key));
    add(claims.by('waiting', ''));
  });
  nodes.onChange(({ key, before, after }) => {
    if (standing(before) === standing(after)) return; // most changes of a node concern no disk
    add(claims.by('node', key));
    add(claims.by('node', ''));
  });
  pods.onChange(({ before, after }) => {
    const [then, now] = [before, after].map((pod) => (pod === undefined ? [] : usedClaimsOf(pod)));
    if (then === undefined || now === undefined) return;
    for (const key of then) if (!now.includes(key)) queue.add(key);
    for (const key of now) if (!then.includes(key)) queue.add(key);
  });
}

/** What of a node decides whether it can get a disk. */
const standing = (node: Node | undefined): string =>
  node === undefined
    ? ''
    : JSON.stringify([
        node.metadata.annotations?.[disksFolderAnnotation],
        node.metadata.labels,
        conditionOf(node.status, 'Ready')?.status,
        node.spec,
      ]);

/** Volumes are woken by themselves, by their claims, and by the end of their nodes. */
export function wakeVolumes(queue: KeyQueue, { claims, volumes, nodes }: Parts): void {
  volumes.onChange(({ key }) => {
    queue.add(key);
  });
  claims.onChange(({ key, before, after }) => {
    for (const volume of volumes.by('claim', key)) queue.add(volume.metadata.name);
    for (const claim of [before, after])
      if ((claim?.spec.volumeName ?? '') !== '') queue.add(claim?.spec.volumeName ?? '');
  });
  nodes.onChange(({ key, after }) => {
    if (after === undefined) for (const volume of volumes.by('node', key)) queue.add(volume.metadata.name);
  });
}
