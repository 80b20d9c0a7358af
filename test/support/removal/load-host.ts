import { Agent, request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { serveRequests } from '../netns-requests.ts';

/** One kind of client. */
export interface LoadWish {
  readonly url: string;
  /** Whether each request has a connection of its own, or all requests of a worker one that is kept. */
  readonly keep: boolean;
  readonly workers: number;
  /** Between an answer and the next request of a worker. */
  readonly pauseMs: number;
  /** For how long it waits for an answer; default: 10 s. */
  readonly timeoutMs?: number;
}

/** What became of the requests of one kind of client. */
export interface LoadFigures {
  readonly requests: number;
  /** Neither answered at once nor when sent again as HTTP allows. */
  readonly failed: number;
  /**
   * A kept connection was closed by the other end while the client began to use it again, before a byte of the answer: the client's own race
   * (RFC 9112, 9.3.1). It was sent again, once, on a new connection.
   */
  readonly races: number;
  readonly slowestMs: number;
  readonly p99Ms: number;
  /** When the last request that failed was sent, in ms since the epoch; undefined: none failed. */
  readonly lastFailedSentMs?: number;
  /** The first of the failures: when, after how long, and how. */
  readonly failures: readonly string[];
}

interface Running {
  readonly wish: LoadWish;
  readonly done: Promise<unknown>;
  stop: boolean;
  requests: number;
  failed: number;
  races: number;
  lastFailedSentMs: number | undefined;
  readonly timesMs: number[];
  readonly failures: string[];
}

const patienceMs = 10_000;
const mostTimes = 200_000;
let running: Running[] = [];

class RequestError extends Error {
  readonly raced: boolean;
  constructor(message: string, raced: boolean) {
    super(message);
    this.raced = raced;
  }
}

function get({ url, timeoutMs = patienceMs }: LoadWish, agent: Agent | false): Promise<void> {
  return new Promise((resolve, reject) => {
    let answered = false;
    const asking = request(url, { agent, timeout: timeoutMs }, (answer) => {
      answered = true;
      let length = 0;
      answer.on('data', (chunk: Buffer) => (length += chunk.length));
      answer.on('error', (error: Error) => fail(`in the answer: ${error.message}`));
      answer.on('end', () => {
        if (answer.statusCode === 200 && length === Number(answer.headers['content-length'])) resolve();
        else fail(`status ${answer.statusCode} with ${length} bytes`);
      });
    });
    const fail = (message: string, code = ''): void => {
      const closed = code === 'ECONNRESET' || code === 'EPIPE';
      reject(new RequestError(message, closed && asking.reusedSocket && !answered));
    };
    asking.on('timeout', () => asking.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    asking.on('error', (error: NodeJS.ErrnoException) => fail(`${error.code ?? ''} ${error.message}`, error.code));
    asking.end();
  });
}

async function work(mine: Running): Promise<void> {
  const { keep, pauseMs } = mine.wish;
  const agent = keep ? new Agent({ keepAlive: true, maxSockets: 1 }) : false;
  while (!mine.stop) {
    const [began, sentMs] = [performance.now(), Date.now()];
    mine.requests++;
    try {
      await get(mine.wish, agent).catch((error: unknown) => {
        if (!(error instanceof RequestError) || !error.raced) throw error;
        mine.races++;
        return get(mine.wish, false);
      });
    } catch (error) {
      mine.failed++;
      mine.lastFailedSentMs = Math.max(sentMs, mine.lastFailedSentMs ?? 0);
      const tookMs = Math.round(performance.now() - began);
      if (mine.failures.length < 20)
        mine.failures.push(`${new Date().toISOString()} after ${tookMs} ms: ${String(error)}`);
    }
    if (mine.timesMs.length < mostTimes) mine.timesMs.push(performance.now() - began);
    if (pauseMs > 0) await pause(pauseMs * (0.5 + Math.random()));
  }
  if (agent !== false) agent.destroy();
}

serveRequests({
  start({ wishes }: { readonly wishes: readonly LoadWish[] }) {
    running = wishes.map((wish) => {
      const mine: Running = {
        wish,
        done: Promise.resolve(),
        stop: false,
        requests: 0,
        failed: 0,
        races: 0,
        lastFailedSentMs: undefined,
        timesMs: [],
        failures: [],
      };
      return Object.assign(mine, { done: Promise.all(Array.from({ length: wish.workers }, () => work(mine))) });
    });
  },
  /** How many requests have been made so far. */
  count: () => running.reduce((sum, each) => sum + each.requests, 0),
  async stop(): Promise<readonly LoadFigures[]> {
    for (const each of running) each.stop = true;
    await Promise.all(running.map(({ done }) => done));
    return running.map(({ requests, failed, races, failures, timesMs, lastFailedSentMs }) => {
      const sorted = timesMs.toSorted((a, b) => a - b);
      const p99Ms = sorted[Math.floor(sorted.length * 0.99)] ?? 0;
      return {
        requests,
        failed,
        races,
        failures,
        ...(lastFailedSentMs !== undefined && { lastFailedSentMs }),
        slowestMs: Math.round(sorted.at(-1) ?? 0),
        p99Ms: Math.round(p99Ms * 10) / 10,
      };
    });
  },
});
