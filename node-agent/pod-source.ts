import type { Key } from '../lib/api/keys.ts';
import type { Pod } from '../lib/api/objects.ts';
import type { Change, View } from '../lib/view/view.ts';

/** The pods that are bound to one node, as the API tells them. A view of that node's pods is one. */
export interface PodSource {
  readonly synced: boolean;
  get(key: Key): Pod | undefined;
  list(): readonly Pod[];
  onChange(listener: (change: Change<Pod>) => void): () => void;
  wrote(pod: Pod): void;
  wroteDeletion(pod: Pod): void;
}

/** Names the index that `podSources` needs on its view. */
export const nodeIndex = 'node';
export const podsByNode = (pod: Pod): readonly string[] => [pod.spec.nodeName ?? ''];

/**
 * One source a node out of one view of all pods, for many agents in one process: a change is handed to the agents of
 * the nodes it concerns and to no other. The view must have `podsByNode` as its index `node`.
 */
export function podSources(view: View<Pod>): (node: string) => PodSource {
  const listeners = new Map<string, Set<(change: Change<Pod>) => void>>();
  view.onChange((change) => {
    const { key, before, after } = change;
    const [was, is] = [before?.spec.nodeName ?? '', after?.spec.nodeName ?? ''];
    if (was !== '' && was !== is) {
      for (const listener of listeners.get(was) ?? []) listener({ key, before, after: undefined });
    }
    if (is === '') return;
    const seen: Change<Pod> = was === is ? change : { key, before: undefined, after };
    for (const listener of listeners.get(is) ?? []) listener(seen);
  });
  return (node) => ({
    get synced() {
      return view.synced;
    },
    get(key) {
      const pod = view.get(key);
      return pod?.spec.nodeName === node ? pod : undefined;
    },
    list: () => view.by(nodeIndex, node),
    onChange(listener) {
      const set = listeners.get(node) ?? new Set();
      listeners.set(node, set.add(listener));
      return () => set.delete(listener);
    },
    wrote: (pod) => {
      view.wrote(pod);
    },
    wroteDeletion: (pod) => {
      view.wroteDeletion(pod);
    },
  });
}
