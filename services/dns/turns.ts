import { Backlog, type Waiting } from './backlog.ts';

/** Some half a million questions. */
const mostBytes = 32 << 20;
/** Two tries of five seconds: who asked longer ago has given up. */
const patienceMs = 10_000;
/** As many datagrams are read in one turn of the event loop: so many mean that there are more. */
const fullTurn = 30;
/** Turns in a row that only read. */
const mostReadingTurns = 100;
/** How long answers are given before it is time to read again. */
const answeringMs = 2;
/** Looking at the clock costs a tenth of an answer. */
const betweenLooks = 16;

export interface TurnsOptions {
  readonly onDropped?: (count: number) => void;
}

/**
 * Reads first and answers then. Reading a datagram takes a fifth of the time of answering it, and only what has been read is safe: the kernel
 * drops what does not fit its small queue, and who asked waits five seconds. So while there is more to read, the answers wait.
 */
export function answerInTurns(
  { onDropped }: TurnsOptions,
  answer: (question: Waiting) => void,
): (question: Waiting) => void {
  const backlog = new Backlog(mostBytes);
  let arrived = 0;
  let readingTurns = 0;
  let planned = false;

  const turn = (): void => {
    planned = false;
    const flooded = arrived >= fullTurn && readingTurns < mostReadingTurns;
    arrived = 0;
    readingTurns = flooded ? readingTurns + 1 : 0;
    if (!flooded) answerSome();
    if (backlog.length > 0) plan();
  };
  const answerSome = (): void => {
    const end = performance.now() + answeringMs;
    let late = 0;
    for (let count = 1; ; count++) {
      const question = backlog.take();
      if (question === undefined) break;
      const now = count % betweenLooks === 0 ? performance.now() : undefined;
      if (end - question.arrivedMs > patienceMs) late++;
      else answer(question);
      if (now !== undefined && now > end) break;
    }
    if (late > 0) onDropped?.(late);
  };
  const plan = (): void => {
    if (planned) return;
    planned = true;
    setImmediate(turn);
  };
  return (question) => {
    arrived++;
    if (!backlog.add(question)) onDropped?.(1);
    plan();
  };
}
