import { keyOf } from '../lib/api/keys.ts';
import type { Objects, Resource } from '../lib/api/kinds.ts';
import { follow } from './follow.ts';
import type { Session } from './session.ts';

/**
 * Resolves when none of these objects (told apart by uid: a new one of the same name is another) is there any more.
 * Rejects after `timeoutMs`, naming what is left and what holds it.
 */
export async function untilGone<R extends Resource>(
  session: Session,
  resource: R,
  objects: readonly Objects[R][],
  timeoutMs: number,
): Promise<void> {
  const left = new Map(objects.map((object) => [object.metadata.uid, object]));
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
    for (const item of list.items) if (left.has(item.metadata.uid)) left.set(item.metadata.uid, item);
    if (left.size === 0) return;
    const limit = AbortSignal.any([session.signal, over.signal]);
    for await (const event of follow(session, resource, { ...selection, fromRevision: list.revision }, limit)) {
      const { object } = event;
      if (object === undefined || !left.has(object.metadata.uid)) continue;
      if (event.type === 'DELETED') left.delete(object.metadata.uid);
      else left.set(object.metadata.uid, object);
      if (left.size === 0) return;
    }
  } finally {
    cancel();
  }
  session.signal.throwIfAborted();
  throw new Error(stillThere(resource, [...left.values()], timeoutMs));
}

function stillThere(resource: Resource, objects: readonly Objects[Resource][], timeoutMs: number): string {
  const names = objects.slice(0, 5).map((object) => keyOf(object));
  const more = objects.length > names.length ? ' and more' : '';
  const finalizers = [...new Set(objects.flatMap(({ metadata }) => metadata.finalizers ?? []))];
  const held = finalizers.length === 0 ? '' : `, held until the work named by ${finalizers.join(', ')} is done`;
  return `still there after ${timeoutMs / 1000} s: ${objects.length} of ${resource} (${names.join(', ')}${more}); deletion goes on${held}`;
}
