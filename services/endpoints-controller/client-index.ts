import type { Key } from '../../lib/api/keys.ts';
import type { AllowedClient, Labels, Service } from '../../lib/api/objects.ts';
import { SelectorIndex } from '../../lib/api/selector-index.ts';
import { admitsLabels } from './access.ts';

/**
 * Answers "whose clients may a pod with these labels be?". Selectors by plain labels in the Service's own namespace, which is
 * nearly all of them, are filed; the others are tried one by one.
 */
export class ClientIndex {
  readonly #filed = new SelectorIndex();
  readonly #clients = new Map<Key, { readonly namespace: string; readonly clients: readonly AllowedClient[] }>();
  /** Services with a client that cannot be filed. */
  readonly #others = new Set<Key>();
  readonly #byNamespace = new Set<Key>();

  /** Files the clients of a Service instead of those it had. */
  set(key: Key, service: Service | undefined): void {
    this.#clear(key);
    const clients = service?.spec.allowedClients ?? [];
    if (clients.length === 0) return;
    const namespace = service?.metadata.namespace ?? '';
    this.#clients.set(key, { namespace, clients });
    clients.forEach(({ podSelector, namespaceSelector }, i) => {
      const labels = podSelector?.matchLabels ?? {};
      if (namespaceSelector !== undefined) this.#byNamespace.add(key);
      if (namespaceSelector !== undefined || Object.keys(labels).length === 0) this.#others.add(key);
      else this.#filed.set(nameOf(key, i), namespace, labels);
    });
  }

  get size(): number {
    return this.#clients.size;
  }

  has(key: Key): boolean {
    return this.#clients.has(key);
  }

  /** The Services that may admit such a pod, and perhaps some that do not: the namespace's own labels are not looked at. */
  matching(namespace: string, labels: Labels | undefined): Key[] {
    const found = new Set<Key>();
    for (const name of this.#filed.matching(namespace, labels)) {
      const [key, client] = this.#find(name);
      if (client !== undefined && admitsLabels(client, labels)) found.add(key);
    }
    for (const key of this.#others) {
      const entry = this.#clients.get(key);
      const admits = (client: AllowedClient): boolean =>
        (client.namespaceSelector !== undefined || entry?.namespace === namespace) && admitsLabels(client, labels);
      if (entry?.clients.some(admits) === true) found.add(key);
    }
    return [...found];
  }

  /** The Services whose clients depend on the labels of namespaces. */
  get byNamespace(): readonly Key[] {
    return [...this.#byNamespace];
  }

  #find(name: string): readonly [Key, AllowedClient | undefined] {
    const at = name.lastIndexOf('#');
    const key = name.slice(0, at);
    return [key, this.#clients.get(key)?.clients[Number(name.slice(at + 1))]];
  }

  #clear(key: Key): void {
    const count = this.#clients.get(key)?.clients.length ?? 0;
    for (let i = 0; i < count; i++) this.#filed.delete(nameOf(key, i));
    this.#clients.delete(key);
    this.#others.delete(key);
    this.#byNamespace.delete(key);
  }
}

const nameOf = (key: Key, client: number): string => `${key}#${client}`;
