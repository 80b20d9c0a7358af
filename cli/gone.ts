import { ApiError } from '../lib/base/errors.ts';
import { keyOf } from '../lib/api/keys.ts';
import type { Objects, Resource } from '../lib/api/kinds.ts';
import { follow } from './follow.ts';
import type { Session } from './session.ts';

/**
 * Resolves when none of these objects (told apart by uid: a new one of the same name is another) is there any more.
 * Rejects with Timeout after `timeoutMs`, naming what is left.
 */
export async function untilGone<R extends Resource>(
  session: Session,
  resource: R,
  objects: readonly Objects[R][],
  timeoutMs: number,
): Promise<void> {
  const left = new Map(objects.map((object) => [object.metadata.uid, keyOf(object)]));
  const namespaces = new Set(objects.map((object) => object.metadata.namespace));
  const [namespace] = namespaces;
  const [only] = objects;
  const selection = {
    ...(namespaces.size === 1 && namespace !== undefined ? { namespace } : {}),
    ...(objects.length === 1 && only !== undefined ? { fieldSelector: `metadata.name=${only.metadata.name}` } : {}),
  };
  const client = await session.client();
  const over = new AbortController();
  const cancel = session.shell.clock.after(timeoutMs, () => {
    over.abort();
  });
  try {
    const list = await client.list(resource, selection, session.call);
    const present = new Set(list.items.map((item) => item.metadata.uid));
    for (const uid of left.keys()) if (!present.has(uid)) left.delete(uid);
    if (left.size === 0) return;
    const limit = AbortSignal.any([session.signal, over.signal]);
    for await (const event of follow(session, resource, { ...selection, fromRevision: list.revision }, limit)) {
      if (event.type === 'DELETED' && event.object !== undefined) left.delete(event.object.metadata.uid);
      if (left.size === 0) return;
    }
  } finally {
    cancel();
  }
  session.signal.throwIfAborted();
  const names = [...left.values()].slice(0, 5).join(', ');
  throw new ApiError(
    'Timeout',
    `still there after ${timeoutMs / 1000} s: ${left.size} of ${resource} (${names}); they are being deleted`,
  );
}
