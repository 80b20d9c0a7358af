import type { MutableJson } from '../../../lib/api/json.ts';

/** What a client sent, read, and what it should be told of it. */
export interface Draft {
  readonly object: MutableJson;
  readonly warnings: readonly string[];
}
