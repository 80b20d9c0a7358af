import type { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { messageOf } from '../../lib/base/errors.ts';
import { pullName } from '../../lib/api/image-reference.ts';
import { runtimeError, statusOf, textOf } from './engine-error.ts';
import { RuntimeError, type ContainerRuntime, type HeldImage, type ImageInfo, type RegistryAuth } from './runtime.ts';

/** Images of a Docker engine. `patient` must have no time-out of its own: a pull lasts as long as it lasts. */
export function dockerImages(
  docker: Docker,
  patient: Docker,
): Pick<ContainerRuntime, 'imagePresent' | 'pull' | 'images' | 'removeImage'> {
  async function imagePresent(image: string): Promise<ImageInfo | undefined> {
    try {
      const found = await docker.getImage(image).inspect();
      const user = found.Config.User;
      return { id: found.Id, sizeBytes: found.Size, ...(user === '' ? {} : { user }) };
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw runtimeError(error, 'Unavailable');
    }
  }

  async function pull(image: string, signal: AbortSignal, auth?: RegistryAuth): Promise<ImageInfo> {
    try {
      const stream = await patient.pull(pullName(image), auth === undefined ? {} : { authconfig: authConfig(auth) });
      signal.addEventListener('abort', () => (stream as Readable).destroy(signal.reason as Error), { once: true });
      await new Promise<void>((resolve, reject) => {
        patient.modem.followProgress(stream, (error) => {
          if (error === null || error === undefined) resolve();
          else reject(error);
        });
      });
    } catch (error) {
      const missing = statusOf(error) === 404 || /not found|manifest unknown|does not exist/i.test(messageOf(error));
      throw new RuntimeError(missing ? 'ImageNotFound' : 'ImagePullFailed', textOf(error), { cause: error });
    }
    const info = await imagePresent(image);
    if (info === undefined)
      throw new RuntimeError('ImagePullFailed', `the engine pulled "${image}" but does not have it`);
    return info;
  }

  async function images(): Promise<readonly HeldImage[]> {
    try {
      const [list, containers] = await Promise.all([docker.listImages(), docker.listContainers({ all: true })]);
      const used = new Set(containers.map((container) => container.ImageID));
      const names = (some: readonly string[] | null | undefined): readonly string[] =>
        (some ?? []).filter((name) => !name.startsWith('<none>'));
      return list.map((image) => ({
        id: image.Id,
        sizeBytes: image.Size,
        names: [...names(image.RepoTags), ...names(image.RepoDigests)],
        inUse: used.has(image.Id),
      }));
    } catch (error) {
      throw runtimeError(error, 'Unavailable');
    }
  }

  async function removeImage(image: string): Promise<void> {
    try {
      await docker.getImage(image).remove();
    } catch (error) {
      if (statusOf(error) === 404) return;
      throw runtimeError(error, statusOf(error) === 409 ? 'InUse' : 'Unavailable');
    }
  }

  return { imagePresent, pull, images, removeImage };
}

/** Makes an image from a stream in tar form, without a registry. */
export async function importImage(docker: Docker, layer: NodeJS.ReadableStream, name: string): Promise<void> {
  const stream = await docker.importImage(layer, { fromSrc: '-', repo: name }); // the engine reads the tag out of it
  await new Promise<void>((resolve, reject) => {
    docker.modem.followProgress(stream, (error) => {
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}

/** As the engine's API wants it. */
const authConfig = ({ server, username, password, identityToken }: RegistryAuth): object => ({
  serveraddress: server,
  ...(identityToken === undefined ? { username, password } : { identitytoken: identityToken }),
});
