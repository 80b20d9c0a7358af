import type pc from 'picocolors';

export type Colors = ReturnType<typeof pc.createColors>;

/** Rows of text in columns, three blanks apart; the last column is not padded, so that no line ends in blanks. */
export interface Layout {
  /** The widths grow with what is laid out and never shrink: later rows stand under earlier ones. */
  lines(rows: readonly (readonly string[])[]): string[];
}

const gap = 3;

export function newLayout(): Layout {
  const widths: number[] = [];
  return {
    lines(rows) {
      for (const row of rows) {
        row.forEach((cell, column) => {
          widths[column] = Math.max(widths[column] ?? 0, visibleLength(cell));
        });
      }
      return rows.map((row) =>
        row
          .map((cell, column) =>
            column === row.length - 1 ? cell : cell + ' '.repeat((widths[column] ?? 0) - visibleLength(cell) + gap),
          )
          .join('')
          .trimEnd(),
      );
    },
  };
}

const colorCode = /\x1b\[[0-9;]*m/g;
/** Without what only colours. */
export const visibleLength = (cell: string): number =>
  (cell.includes('\x1b') ? cell.replace(colorCode, '') : cell).length;

const good = new Set(['Running', 'Ready', 'Active', 'Completed', 'Succeeded', 'True', 'Normal']);
const moving = new Set(['Pending', 'ContainerCreating', 'PodInitializing', 'Terminating', 'NotReady', 'Unknown']);

/** A status word in the colour of its meaning: fine, on its way, or in trouble. */
export function colorOfStatus(colors: Colors, status: string): string {
  if (status === '' || status === '<none>') return status;
  const word = status.split(',')[0] ?? status;
  if (good.has(word)) return colors.green(status);
  if (moving.has(word) || word.startsWith('Init:')) return colors.yellow(status);
  return colors.red(status);
}
