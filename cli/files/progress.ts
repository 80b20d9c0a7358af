import type { Session } from '../session.ts';

/** How far a copy has come, on one line of a terminal; elsewhere nothing. */
export interface CopyProgress {
  readonly add: (bytes: number) => void;
  /** Clears the line and says what was done. */
  done(what: string): void;
  /** Clears the line. */
  end(): void;
}

const everyMs = 250;

/** `totalBytes` undefined: not known before. */
export function newCopyProgress(session: Session, totalBytes: number | undefined): CopyProgress {
  const { stderr, clock } = session.shell;
  const startMs = clock.monotonic();
  let bytes = 0;
  let shownMs = startMs + everyMs; // what takes no time needs no line
  let isShown = false;
  const clear = (): void => {
    if (isShown) stderr.write('\r\u001b[K');
    isShown = false;
  };
  return {
    add(count) {
      bytes += count;
      const now = clock.monotonic();
      if (!stderr.isTerminal || now - shownMs < everyMs) return;
      shownMs = now;
      isShown = true;
      const of = totalBytes === undefined ? '' : ` of ${sizeText(totalBytes)}`;
      stderr.write(`\r\u001b[K${sizeText(bytes)}${of}, ${sizeText((bytes * 1000) / (now - startMs))}/s`);
    },
    done(what) {
      clear();
      if (!stderr.isTerminal) return;
      const seconds = (clock.monotonic() - startMs) / 1000;
      session.note(`${what}: ${sizeText(bytes)} in ${seconds.toFixed(1)} s`);
    },
    end: clear,
  };
}

/** `1.5 MiB`. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? ''}`;
}
