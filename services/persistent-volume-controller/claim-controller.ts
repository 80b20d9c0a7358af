import { keyOf, type Key } from '../../lib/api/keys.ts';
import type { PersistentVolume, PersistentVolumeClaim } from '../../lib/api/objects.ts';
import {
  boundByControllerAnnotation,
  claimProtection,
  isOwnedBy,
  selectedNodeAnnotation,
} from '../../lib/api/storage.ts';
import type { Controller } from '../../lib/controller/controller.ts';
import { filed, refreshed, takeSteps, Teller, usedClaimsOf, without, type Parts } from './parts.ts';
import { localVolume, nodeForDisk, provisionedName, referenceTo } from './provisioning.ts';
import { reconcileClaim, type ClaimFacts, type ClaimStep } from './reconcile-claim.ts';

/** Gets each claim its volume, and lets a claim go that nobody uses. Writes claims, `spec.claimRef` of volumes, and new volumes. */
export function newClaimController(parts: Parts): Controller {
  const { claims, volumes, classes, nodes, pods, client, recorder } = parts;
  const teller = new Teller(recorder);

  const factsFor = (key: Key): ClaimFacts => ({
    inUse: pods.by('claim', key).length > 0,
    userNode: pods.by('claim', key)[0]?.spec.nodeName,
    volume: (name) => volumes.get(name),
    reserved: volumes.by('claim', key),
    ofClass: (className) => volumes.by('class', className),
    storageClass: (name) => classes.get(name),
    classes: classes.list(),
    node: (name) => nodes.get(name),
    anyNode: () => nodeForDisk(nodes.list(), (node) => volumes.by('node', node).length),
  });

  const written = (claim: PersistentVolumeClaim): 'again' => {
    filed(claims, claim);
    return 'again';
  };
  const updated = async (claim: PersistentVolumeClaim): Promise<'again'> =>
    written(await client.update('persistentvolumeclaims', claim));

  async function perform(claim: PersistentVolumeClaim, step: ClaimStep): Promise<'again' | 'rest'> {
    const { metadata, spec, status } = claim;
    switch (step.type) {
      case 'setClass':
        return updated({ ...claim, spec: { ...spec, storageClassName: step.className } });
      case 'reserve':
        volumes.wrote(await client.update('persistentvolumes', reserved(step.volume, claim)));
        return 'again';
      case 'provision': {
        volumes.wrote(await client.create('persistentvolumes', localVolume(claim, step.storageClass, step.node)));
        const where = `node "${step.node.metadata.name}"`;
        teller.tell(claim, 'Normal', 'Provisioning', `${where} makes the disk for volume "${provisionedName(claim)}"`);
        return 'again';
      }
      case 'unprovision':
        filed(volumes, await client.delete('persistentvolumes', step.volume.metadata.name, preconditions(step.volume)));
        return 'rest'; // woken when it is gone
      case 'forgetNode': {
        const { [selectedNodeAnnotation]: gone, ...annotations } = metadata.annotations ?? {};
        teller.tell(claim, 'Warning', 'ProvisioningFailed', `node "${gone ?? ''}" is gone; another is to be chosen`);
        return updated({ ...claim, metadata: { ...metadata, annotations } });
      }
      case 'name':
        return updated({ ...claim, spec: { ...spec, volumeName: step.volume.metadata.name } });
      case 'bind': {
        const { accessModes, capacity } = step.volume.spec;
        const bound = { ...status, phase: 'Bound' as const, accessModes, capacity };
        return written(await client.updateStatus('persistentvolumeclaims', { ...claim, status: bound }));
      }
      case 'lose':
        teller.tell(claim, 'Warning', step.reason, step.message);
        return written(
          await client.updateStatus('persistentvolumeclaims', { ...claim, status: { ...status, phase: 'Lost' } }),
        );
      case 'unprotect':
        if (await isUsed(claim)) return 'rest'; // our view of the pods was late; it will wake us
        return updated({ ...claim, metadata: { ...metadata, finalizers: without(claim, claimProtection) } });
      case 'tell':
        teller.tell(claim, step.severity, step.reason, step.message);
        return 'rest';
    }
  }

  /** Asked of the API itself: a claim that is let go by mistake takes its data with it. */
  async function isUsed(claim: PersistentVolumeClaim): Promise<boolean> {
    const { items } = await client.list('pods', { namespace: claim.metadata.namespace ?? '' });
    return items.some((pod) => usedClaimsOf(pod).includes(keyOf(claim)));
  }

  async function lookAgain(key: Key): Promise<void> {
    const claim = await refreshed(client, 'persistentvolumeclaims', claims, key);
    if (claim === undefined) return;
    const names = new Set([
      provisionedName(claim),
      claim.spec.volumeName ?? '',
      ...volumes.by('claim', key).map(({ metadata }) => metadata.name),
      ...volumes.by('class', claim.spec.storageClassName ?? '').map(({ metadata }) => metadata.name),
    ]);
    names.delete('');
    for (const name of names) await refreshed(client, 'persistentvolumes', volumes, name);
  }

  return {
    name: 'persistent-volume-claims',
    sync: (key) =>
      takeSteps(
        () => {
          const claim = claims.get(key);
          return claim === undefined ? undefined : reconcileClaim(claim, factsFor(key));
        },
        (step) => {
          const claim = claims.get(key);
          return claim === undefined ? Promise.resolve('rest') : perform(claim, step);
        },
        () => lookAgain(key),
      ),
  };
}

const preconditions = ({
  metadata,
}: PersistentVolume): { preconditions: { uid: string; resourceVersion: string } } => ({
  preconditions: { uid: metadata.uid, resourceVersion: metadata.resourceVersion },
});

/** Kept apart from a reservation that a person made: only ours is taken back when it turns out to be one too many. */
function reserved(volume: PersistentVolume, claim: PersistentVolumeClaim): PersistentVolume {
  const { metadata, spec } = volume;
  const byHand = spec.claimRef !== undefined || isOwnedBy(volume, claim);
  const annotations = byHand ? metadata.annotations : { ...metadata.annotations, [boundByControllerAnnotation]: 'yes' };
  return {
    ...volume,
    metadata: { ...metadata, ...(annotations === undefined ? {} : { annotations }) },
    spec: { ...spec, claimRef: referenceTo(claim) },
  };
}
