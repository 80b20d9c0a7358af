import type { Messages } from '../api/gen/messages.ts';
import { ApiError } from '../base/errors.ts';
import type { WriteOptions } from './client.ts';

/** Operations in one Write call at most, as the server allows. */
export const maxOperations = 1000;
/** Bytes of objects in one Write call, well below the server's limit for a message. */
export const maxWriteBytes = 8 * 1024 * 1024;

/** Calls under way at once for operations of one sort; what comes meanwhile waits for the next one. */
const maxUnderWay = 2;
/** Operations of one sort that may wait; more are refused with TooManyRequests. */
const maxWaiting = 50_000;

type Result = Messages['WriteResult'];
type Send<O> = (operations: readonly O[], call: WriteOptions) => Promise<readonly Result[]>;

/**
 * Puts single reads or writes that are made at the same time into common calls: a call costs the same with a hundred operations as with
 * one. An operation that finds nothing under way goes at once, so nobody waits who is alone.
 */
export interface Batches<O> {
  /** Resolves to the operation's own result; rejects when the call that carried it fails. */
  put(operation: O, call: WriteOptions): Promise<Result>;
}

interface Item<O> {
  readonly operation: O;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** `bytesOf` tells what an operation takes in a call. */
export function newBatches<O>(send: Send<O>, bytesOf: (operation: O) => number = () => 0): Batches<O> {
  const lanes = new Map<string, Lane<O>>();
  return {
    put(operation, call) {
      // An operation that its caller may give up cannot share its call with others.
      if (call.signal !== undefined) return send([operation], call).then(([result]) => present(result));
      const { timeoutMs, dryRun, fieldValidation } = call;
      const sort = `${timeoutMs} ${dryRun} ${fieldValidation}`;
      let lane = lanes.get(sort);
      if (lane === undefined) {
        const created = new Lane<O>(
          (operations) => send(operations, call),
          bytesOf,
          () => lanes.delete(sort),
        );
        lanes.set(sort, (lane = created));
      }
      return lane.put(operation);
    },
  };
}

/** Operations with the same options. */
class Lane<O> {
  readonly #send: (operations: readonly O[]) => Promise<readonly Result[]>;
  readonly #bytesOf: (operation: O) => number;
  readonly #onIdle: () => void;
  #waiting: Item<O>[] = [];
  #underWay = 0;
  #isDue = false;

  constructor(
    send: (operations: readonly O[]) => Promise<readonly Result[]>,
    bytesOf: (operation: O) => number,
    onIdle: () => void,
  ) {
    this.#send = send;
    this.#bytesOf = bytesOf;
    this.#onIdle = onIdle;
  }

  put(operation: O): Promise<Result> {
    if (this.#waiting.length >= maxWaiting) {
      return Promise.reject(new ApiError('TooManyRequests', `${maxWaiting} operations of this process wait already`));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ operation, resolve, reject });
      if (this.#isDue || this.#underWay >= maxUnderWay) return;
      this.#isDue = true;
      queueMicrotask(() => {
        this.#isDue = false;
        void this.#next();
      });
    });
  }

  async #next(): Promise<void> {
    const items = this.#portion();
    if (items.length === 0) return;
    this.#underWay++;
    try {
      const results = await this.#send(items.map((item) => item.operation));
      for (const [index, item] of items.entries()) item.resolve(present(results[index]));
    } catch (error) {
      for (const item of items) item.reject(error);
    }
    this.#underWay--;
    if (this.#waiting.length > 0) void this.#next();
    else if (this.#underWay === 0) this.#onIdle();
  }

  #portion(): Item<O>[] {
    let bytes = 0;
    let count = 0;
    for (const { operation } of this.#waiting) {
      bytes += this.#bytesOf(operation);
      if (count === maxOperations || (count > 0 && bytes > maxWriteBytes)) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }
}

function present(result: Result | undefined): Result {
  if (result === undefined) throw new ApiError('InternalError', 'the server left an operation without a result');
  return result;
}
