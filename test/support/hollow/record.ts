import type { Key } from '../../../lib/api/keys.ts';
import { keyOf } from '../../../lib/api/keys.ts';
import type { Objects, Resource } from '../../../lib/api/kinds.ts';
import type { Client } from '../../../lib/client/client.ts';

/** The objects of a resource as a watch tells of them, in the order in which they were committed. Not for longer than the API lives. */
export class Record<R extends Resource> {
  readonly #known = new Map<Key, Objects[R]>();
  #broken: unknown;

  /** `onChange` is called after each change. Ends with `signal`. */
  static async start<R extends Resource>(
    client: Client,
    resource: R,
    signal: AbortSignal,
    onChange: () => void = () => undefined,
  ): Promise<Record<R>> {
    const record = new Record<R>();
    const { items, revision } = await client.list(resource);
    for (const object of items) record.#known.set(keyOf(object), object);
    void record
      .#follow(client.watch(resource, { fromRevision: revision }, signal), onChange)
      .catch((error: unknown) => {
        if (!signal.aborted) record.#broken = error;
      });
    return record;
  }

  get(key: Key): Objects[R] | undefined {
    return this.#all().get(key);
  }
  list(): readonly Objects[R][] {
    return [...this.#all().values()];
  }

  /** Throws when the record is not to be trusted any more. */
  #all(): ReadonlyMap<Key, Objects[R]> {
    if (this.#broken !== undefined) throw new Error('the record broke', { cause: this.#broken });
    return this.#known;
  }

  async #follow(changes: ReturnType<Client['watch']>, onChange: () => void): Promise<void> {
    for await (const batch of changes)
      for (const { type, object } of batch) {
        if (object === undefined) continue;
        if (type === 'DELETED') this.#known.delete(keyOf(object));
        else this.#known.set(keyOf(object), object as Objects[R]);
        onChange();
      }
  }
}
