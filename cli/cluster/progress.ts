import ora from 'ora';
import { color } from './color.ts';

/** What a detached supervisor tells the command that started it. */
export type ToParent = { readonly kind: 'progress'; readonly text: string } | { readonly kind: 'up' };
export const tellParent = (message: ToParent): void => {
  if (process.connected) process.send?.(message);
};

/** Says what long work is at: a spinner on a terminal, a line a step on a pipe, a message to the parent when detached. */
export interface Progress {
  /** Replaces what is being waited for. */
  update(text: string): void;
  /** Leaves a finished line behind. */
  done(text: string): void;
  fail(text: string): void;
}

export function newProgress(text: string): Progress {
  const terminal = process.stderr.isTTY;
  const started = performance.now();
  const took = (): string => color.dim(`(${((performance.now() - started) / 1000).toFixed(1)} s)`);
  if (process.connected) {
    const print = (line: string): void => void process.stderr.write(`${line}\n`);
    return {
      update: (next) => {
        tellParent({ kind: 'progress', text: next });
      },
      done: (last) => {
        print(`${last} ${took()}`);
      },
      fail: print,
    };
  }
  if (terminal) {
    const spinner = ora({ text, discardStdin: false }).start();
    return {
      update: (next) => void (spinner.text = next),
      done: (last) => void spinner.succeed(`${last} ${took()}`),
      fail: (last) => void spinner.fail(last),
    };
  }
  let said = '';
  const say = (line: string): void => {
    if (line !== said) process.stderr.write(`${line}\n`);
    said = line;
  };
  return {
    update: say,
    done: (last) => {
      say(`${last} ${took()}`);
    },
    fail: say,
  };
}
