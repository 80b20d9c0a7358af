import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LmdbStore } from '../../services/apiserver/store/lmdb.ts';
import { MemoryStore } from '../../services/apiserver/store/memory.ts';
import { storeContract } from './store.contract.ts';

storeContract('MemoryStore', async () => {
  const store = new MemoryStore();
  return { store, dispose: () => store.close() };
});

storeContract('LmdbStore', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'troupe-store-'));
  let store = new LmdbStore({ folder });
  return {
    store,
    async reopen() {
      await store.close();
      store = new LmdbStore({ folder });
      return store;
    },
    async dispose() {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
});
