import { makeKey } from '../../lib/api/keys.ts';
import type { Container, Secret } from '../../lib/api/objects.ts';
import { messageOf } from '../../lib/base/errors.ts';
import { invalidImageName } from '../image-name.ts';
import { podReference, type AgentParts } from '../parts.ts';
import type { PodMemory } from '../pod-memory.ts';
import type { RegistryAuth } from '../runtime/runtime.ts';
import { credentialsFor } from './pull-secrets.ts';

const secretTimeoutMs = 5_000;

/** Starts to pull a container's image with the pod's own credentials; wakes the pod when it is there, or could not be had. */
export function pullImage(parts: AgentParts, memory: PodMemory, container: Container, wake: () => void): void {
  const { telling, clock, metrics, puller } = parts;
  const { name, image } = container;
  const about = podReference(memory.pod, name);
  const beganMs = clock.monotonic();
  const wrong = invalidImageName(image);
  if (wrong !== undefined) {
    memory.failed(name, { reason: 'InvalidImageName', message: wrong, atMs: clock.now() });
    telling.event(about, 'Warning', 'InspectFailed', wrong);
    wake();
    return;
  }
  memory.images.set(name, 'pulling');
  telling.event(about, 'Normal', 'Pulling', `Pulling image "${image}"`);
  const stop = AbortSignal.any([memory.ending.signal, parts.signal]);
  credentialsOf(parts, memory, image)
    .then((auths) => puller.pull(image, auths, stop))
    .then(
      ({ pullMs, sizeBytes }) => {
        memory.images.set(name, 'present');
        memory.setbacks.delete(name);
        metrics.pulls.add(1, { outcome: 'ok' });
        const waited = seconds(clock.monotonic() - beganMs);
        telling.event(
          about,
          'Normal',
          'Pulled',
          `Successfully pulled image "${image}" in ${seconds(pullMs)} (${waited} including waiting). Image size: ${sizeBytes} bytes.`,
        );
      },
      (error: unknown) => {
        memory.images.set(name, 'absent');
        metrics.pulls.add(1, { outcome: 'failed' });
        if (stop.aborted) return;
        const message = `Failed to pull image "${image}": ${messageOf(error)}`;
        memory.failed(name, { reason: 'ErrImagePull', message, atMs: clock.now() });
        telling.event(about, 'Warning', 'Failed', message);
      },
    )
    .finally(wake);
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)}s`;

/**
 * What the pod's imagePullSecrets know of this image's registry. A Secret that is missing or wrong is told and passed over:
 * the image may be had without it. Rejects while the API is away, since then nothing can be said.
 */
async function credentialsOf(
  { client, telling }: AgentParts,
  { pod }: PodMemory,
  image: string,
): Promise<readonly RegistryAuth[]> {
  const names = (pod.spec.imagePullSecrets ?? []).flatMap(({ name }) => name ?? []);
  if (names.length === 0) return [];
  const found = await Promise.all(
    names.map((name) => client.get('secrets', makeKey(pod.metadata.namespace, name), { timeoutMs: secretTimeoutMs })),
  );
  const missing = names.filter((_, at) => found[at] === undefined);
  const { auths, problems } = credentialsFor(
    image,
    found.filter((secret): secret is Secret => secret !== undefined),
  );
  const words = [...(missing.length === 0 ? [] : [`not there: ${missing.join(', ')}`]), ...problems];
  if (words.length > 0) {
    telling.event(
      podReference(pod),
      'Warning',
      'FailedToRetrieveImagePullSecret',
      `Some of the pod's imagePullSecrets cannot be used (${words.join('; ')}); pulling may not succeed without them`,
    );
  }
  return auths;
}
