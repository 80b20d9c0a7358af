/** What streams into pods carry besides bytes; the same on the bus and for callers of the API. */

export interface LogWish {
  /** Go on with what comes until the container ends. */
  readonly follow?: boolean;
  readonly tailLines?: number;
  readonly sinceSeconds?: number;
  /** RFC 3339; fractions of a second count. */
  readonly sinceTime?: string;
  /** Each line begins with its time. */
  readonly timestamps?: boolean;
  /** Of the container's life before its last restart. */
  readonly previous?: boolean;
  /** At most so many bytes. */
  readonly limitBytes?: number;
  /** Go on after this position, which the output had before, and `+` so many bytes that came since. Instead of the last, since and previous. */
  readonly after?: string;
}

/** What is at a path inside a container. */
export interface FileAbout {
  readonly name: string;
  /** Of a file; what a folder holds is not known before. */
  readonly sizeBytes: number;
  readonly isFolder: boolean;
}

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}
