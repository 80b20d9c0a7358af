import { MemoryStore } from '../../services/apiserver/store/memory.ts';
import { storeContract } from './store.contract.ts';

storeContract('MemoryStore', async () => {
  const store = new MemoryStore();
  return { store, dispose: () => store.close() };
});
