import { createHash } from 'node:crypto';
import { Limit } from '../limit.ts';
import { RuntimeError, type ContainerRuntime, type ImageInfo, type RegistryAuth } from '../runtime/runtime.ts';

import type { ImageKeeper } from './image-keeper.ts';

/** Pulls images, a few at a time, each once however many pods wait for it. */
export interface ImagePuller {
  /** `auths` are tried in order; none: without a name. Rejects as `ContainerRuntime.pull` does, with what each try met. */
  pull(image: string, auths: readonly RegistryAuth[], signal: AbortSignal): Promise<Pulled>;
}
export interface Pulled extends ImageInfo {
  /** Without the wait for a free place. */
  readonly pullMs: number;
}

interface Pull {
  readonly work: Promise<Pulled>;
  readonly stop: AbortController;
  waiters: number;
}

export function newImagePuller(
  runtime: Pick<ContainerRuntime, 'pull' | 'imagePresent'>,
  maxParallel: number,
  keeper?: Pick<ImageKeeper, 'pulled'>,
): ImagePuller {
  const limit = new Limit(maxParallel);
  const running = new Map<string, Pull>();

  async function pullWith(image: string, auths: readonly RegistryAuth[], signal: AbortSignal): Promise<Pulled> {
    const began = performance.now();
    const errors: RuntimeError[] = [];
    const wasThere = keeper === undefined ? undefined : await runtime.imagePresent(image);
    for (const auth of auths.length === 0 ? [undefined] : auths) {
      try {
        const pulled = await runtime.pull(image, signal, auth);
        const pullMs = performance.now() - began;
        await keeper?.pulled(image, pulled, wasThere);
        return { ...pulled, pullMs };
      } catch (error) {
        if (signal.aborted || !(error instanceof RuntimeError) || error.code === 'Unavailable') throw error;
        errors.push(error);
      }
    }
    const messages = [...new Set(errors.map((error) => error.message))];
    throw new RuntimeError(errors.at(-1)?.code ?? 'ImagePullFailed', messages.join('; '), { cause: errors.at(-1) });
  }

  return {
    async pull(image, auths, signal) {
      const key = keyOf(image, auths);
      let pull = running.get(key);
      if (pull === undefined) {
        const stop = new AbortController();
        const work = limit.run(() => pullWith(image, auths, stop.signal)).finally(() => running.delete(key));
        pull = { work, stop, waiters: 0 };
        running.set(key, pull);
      }
      const joined = pull;
      joined.waiters++;
      // The pull ends early only when nobody waits for it any more.
      const leave = (): void => {
        if (--joined.waiters === 0) joined.stop.abort(new Error(`nobody needs ${image} any more`));
      };
      signal.addEventListener('abort', leave, { once: true });
      try {
        return await joined.work;
      } finally {
        signal.removeEventListener('abort', leave);
        if (!signal.aborted) joined.waiters--;
      }
    },
  };
}

/** Who may not pull an image does not get it through a pull by one who may. */
const keyOf = (image: string, auths: readonly RegistryAuth[]): string =>
  `${image}\n${createHash('sha256').update(JSON.stringify(auths)).digest('hex')}`;
