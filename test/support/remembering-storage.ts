import { newFakeStorage, type PodStorage } from '../../node-agent/pod-storage.ts';

/** Storage in memory that outlives its agent, and knows what was made only half. */
export interface RememberingStorage extends PodStorage {
  readonly folders: ReadonlySet<string>;
  /** The pods whose volumes were all made. */
  readonly prepared: ReadonlySet<string>;
  /** Called between the folder and the volumes in it. */
  between: () => Promise<unknown>;
}

export function newRememberingStorage(): RememberingStorage {
  const folders = new Set<string>();
  const prepared = new Set<string>();
  const storage: RememberingStorage = {
    ...newFakeStorage(),
    folders,
    prepared,
    between: async () => undefined,
    async prepare(pod) {
      folders.add(pod.metadata.uid);
      await storage.between();
      prepared.add(pod.metadata.uid);
    },
    async writeFiles(pod) {
      folders.add(pod.metadata.uid);
    },
    async remove(uid) {
      prepared.delete(uid);
      await storage.between();
      folders.delete(uid);
    },
    list: async () => [...folders],
    isPrepared: async (pod) => prepared.has(pod.metadata.uid),
  };
  return storage;
}
