/**
 * What a process believes about the history of the store, shared by all its views.
 *
 * Revisions only grow, so a view takes the later of two states. A store that was lost, or restored from an older copy, breaks
 * that: its news seems old. One view that notices tells the others, and until each has listed again none of them is
 * `current`: a loop that acted on it would not see its own writes, and make the same objects again and again.
 */
export class StoreHistory {
  readonly #views = new Set<HistoryReader>();

  /** Returns the way to leave. */
  join(view: HistoryReader): () => void {
    this.#views.add(view);
    return () => this.#views.delete(view);
  }

  /** The store was seen to have gone back in time. */
  wentBack(): void {
    for (const view of this.#views) view.historyChanged();
  }

  get current(): boolean {
    for (const view of this.#views) if (!view.current) return false;
    return true;
  }
}

export interface HistoryReader {
  /** False while what is held may belong to another history than the store's present one. */
  readonly current: boolean;
  historyChanged(): void;
}
