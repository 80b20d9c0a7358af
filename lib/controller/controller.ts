import type { Key } from '../api/keys.ts';

/**
 * One reconciliation loop. The runner (`loop.ts`) calls `sync` for a key whenever something that concerns it changed,
 * on start for every key, and on every re-sync; never twice at once for one key. A key that is added while it
 * runs runs once more. `sync` reads views, decides, performs. It never looks at which event woke it.
 */
export interface Controller {
  readonly name: string;
  /**
   * Four outcomes: returns (settled), returns `requeueAfterMs` (call again then), throws (retried with jittered
   * back-off), throws TerminalError (a Warning event, counted, not retried until the key changes).
   */
  sync(key: Key, signal: AbortSignal): Promise<SyncResult | void>;
}

export interface SyncResult {
  readonly requeueAfterMs?: number;
}

/** Trying again would not help: say so once and stop. */
export class TerminalError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TerminalError';
  }
}

/** Where wake-ups go. Adding a key that waits already does nothing. */
export interface KeyQueue {
  add(key: Key): void;
  addAfter(key: Key, ms: number): void;
}
