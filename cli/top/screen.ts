import { visibleLength } from '../columns.ts';
import type { Sink } from '../shell.ts';

/** Shows one table after another: in the place of the one before on a terminal, under it elsewhere. */
export function newScreen(out: Omit<Sink, 'writeBytes'>): { show(lines: readonly string[]): void } {
  let rows: number | undefined;
  const rowsOf = (line: string): number => Math.max(1, Math.ceil(visibleLength(line) / (out.columns ?? Infinity)));
  return {
    show(lines) {
      if (!out.isTerminal) {
        out.write(`${rows === undefined ? '' : '\n'}${lines.map((line) => `${line}\n`).join('')}`);
        rows = 0;
        return;
      }
      // Up to the first line; each is cleared as it is written, and what was longer before goes.
      const up = rows === undefined || rows === 0 ? '' : `\x1b[${rows}A`;
      out.write(`${up}\r${lines.map((line) => `\x1b[K${line}\n`).join('')}\x1b[J`);
      rows = lines.reduce((sum, line) => sum + rowsOf(line), 0);
    },
  };
}
