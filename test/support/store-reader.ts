import { fromStored } from '../../lib/api/stored.ts';
import type { Key } from '../../lib/api/keys.ts';
import type { Objects, Resource } from '../../lib/api/kinds.ts';
import type { ApiObject } from '../../lib/api/objects.ts';
import { ApiError, hasReason } from '../../lib/base/errors.ts';
import type { ListOptions, ListResult, Reader, WatchEvent } from '../../lib/client/client.ts';
import type { Store } from '../../services/apiserver/store/store.ts';

type Anything = ApiObject & { readonly spec?: { readonly nodeName?: string } };

/**
 * A Reader straight on a Store, for tests of what stands on the client without an apiserver between. Selects by namespace and by
 * `spec.nodeName=…` or `metadata.name=…` only. It can be taken away, counts what it is asked, and says how many watches are open.
 */
export class StoreReader implements Reader {
  readonly #store: Store;
  readonly asked = { get: 0, list: 0, watch: 0, position: 0 };
  openWatches = 0;
  #away = false;
  #stalled = false;
  readonly #positions = new Map<string, number>();
  #positionedAt = 0;
  #cut = new AbortController();

  constructor(store: Store) {
    this.#store = store;
  }

  /** As an apiserver that has gone: calls fail, watches break. */
  goAway(away: boolean): void {
    this.#away = away;
    if (away) {
      this.#cut.abort();
      this.#cut = new AbortController();
    }
  }

  /** Looks without asking: not counted, never away. */
  async peek<T extends ApiObject>(path: string): Promise<T | undefined> {
    const entry = await this.#store.get(path);
    return entry && fromStored<T>(entry.value, entry.revision);
  }

  /** Watches stay open and say nothing. */
  stall(stalled: boolean): void {
    this.#stalled = stalled;
  }

  async get<R extends Resource>(resource: R, key: Key): Promise<Objects[R] | undefined> {
    this.#ask('get');
    const entry = await this.#store.get(`${resource}/${key}`);
    return entry && fromStored<Objects[R] & ApiObject>(entry.value, entry.revision);
  }

  async list<R extends Resource>(resource: R, options: ListOptions = {}): Promise<ListResult<Objects[R]>> {
    this.#ask('list');
    const { entries, revision } = await this.#store.list(`${resource}/`);
    const items = entries.map((entry) => fromStored<Objects[R] & ApiObject>(entry.value, entry.revision));
    return { items: items.filter((item) => selects(options, item as Anything)), revision: String(revision) };
  }

  async *watch<R extends Resource>(
    resource: R,
    options: ListOptions & { readonly fromRevision: string },
    signal: AbortSignal,
  ): AsyncIterable<readonly WatchEvent<Objects[R]>[]> {
    this.#ask('watch');
    this.openWatches++;
    const cut = this.#cut.signal;
    try {
      const changes = this.#store.watch('', Number(options.fromRevision), AbortSignal.any([signal, cut]));
      for await (const batch of changes) {
        const events: WatchEvent<Objects[R]>[] = [];
        for (const { key, revision, value, previous } of batch) {
          const bytes = value ?? previous;
          if (!key.startsWith(`${resource}/`) || bytes === undefined) continue;
          const object = fromStored<Objects[R] & ApiObject>(bytes, revision);
          if (!selects(options, object as Anything)) continue;
          const type = value === undefined ? 'DELETED' : previous === undefined ? 'ADDED' : 'MODIFIED';
          events.push({ type, revision: String(revision), object });
        }
        if (cut.aborted) break;
        if (events.length > 0 && !this.#stalled) yield events;
      }
      if (cut.aborted) throw new ApiError('ServiceUnavailable', 'the connection broke');
    } catch (error) {
      if (cut.aborted && !hasReason(error, 'Expired')) throw new ApiError('ServiceUnavailable', 'the connection broke');
      throw error;
    } finally {
      this.openWatches--;
    }
  }

  async position(resource: Resource, node?: string): Promise<string> {
    this.#ask('position');
    await this.caughtUp();
    return String(this.#positions.get(node === undefined ? resource : `${resource} ${node}`) ?? 0);
  }

  /** Resolves when the positions are those of the store as it is now. */
  async caughtUp(): Promise<void> {
    const until = await this.#store.revision();
    if (until <= this.#positionedAt) return;
    const stop = new AbortController();
    for await (const batch of this.#store.watch('', this.#positionedAt, stop.signal)) {
      for (const { key, revision, value, previous } of batch) {
        const resource = key.slice(0, key.indexOf('/'));
        const node = fromStored<Anything>(value ?? previous ?? Buffer.from('{}'), revision).spec?.nodeName;
        this.#positions.set(resource, revision);
        if (node !== undefined) this.#positions.set(`${resource} ${node}`, revision);
      }
      this.#positionedAt = Math.max(this.#positionedAt, batch.at(-1)?.revision ?? 0);
      if (this.#positionedAt >= until) break;
    }
    stop.abort();
  }

  #ask(what: keyof StoreReader['asked']): void {
    this.asked[what]++;
    if (this.#away) throw new ApiError('ServiceUnavailable', 'the API cannot be reached');
  }
}

function selects(options: ListOptions, object: Anything): boolean {
  const [field, value] = options.fieldSelector?.split('=') ?? [];
  return (
    (options.namespace === undefined || object.metadata.namespace === options.namespace) &&
    (field === undefined || (field === 'metadata.name' ? object.metadata.name : object.spec?.nodeName) === value)
  );
}
