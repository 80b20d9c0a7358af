import type { Messages } from '../api/gen/messages.ts';
import { ApiError } from '../base/errors.ts';
import type { WriteOptions } from './client.ts';

/** Operations in one Write call at most, as the server allows. */
export const maxOperations = 1000;
/** Bytes of objects in one Write call, well below the server's limit for a message. */
export const maxWriteBytes = 8 * 1024 * 1024;

/** Calls under way at once for writes of one sort; what comes meanwhile waits for the next one. */
const maxUnderWay = 2;
/** Writes of one sort that may wait; more are refused with TooManyRequests. */
const maxWaiting = 50_000;

type Operation = Messages['WriteOperation'];
type Result = Messages['WriteResult'];
type Send = (operations: readonly Operation[], call: WriteOptions) => Promise<readonly Result[]>;

/**
 * Puts single writes that are made at the same time into common calls: a call costs the same with a hundred operations as with one. A write
 * that finds nothing under way goes at once, so nobody waits who is alone.
 */
export interface Batches {
  /** Resolves to the operation's own result; rejects when the call that carried it fails. */
  write(operation: Operation, call: WriteOptions): Promise<Result>;
}

interface Item {
  readonly operation: Operation;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

export function newBatches(send: Send): Batches {
  const lanes = new Map<string, Lane>();
  return {
    write(operation, call) {
      // A write that its caller may give up cannot share its call with others.
      if (call.signal !== undefined) return send([operation], call).then(([result]) => present(result));
      const { timeoutMs, dryRun, fieldValidation } = call;
      const sort = `${timeoutMs} ${dryRun} ${fieldValidation}`;
      let lane = lanes.get(sort);
      if (lane === undefined) {
        const created = new Lane(
          (operations) => send(operations, call),
          () => lanes.delete(sort),
        );
        lanes.set(sort, (lane = created));
      }
      return lane.write(operation);
    },
  };
}

/** Writes with the same options. */
class Lane {
  readonly #send: (operations: readonly Operation[]) => Promise<readonly Result[]>;
  readonly #onIdle: () => void;
  #waiting: Item[] = [];
  #underWay = 0;
  #isDue = false;

  constructor(send: (operations: readonly Operation[]) => Promise<readonly Result[]>, onIdle: () => void) {
    this.#send = send;
    this.#onIdle = onIdle;
  }

  write(operation: Operation): Promise<Result> {
    if (this.#waiting.length >= maxWaiting) {
      return Promise.reject(new ApiError('TooManyRequests', `${maxWaiting} writes of this process wait already`));
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

  #portion(): Item[] {
    let bytes = 0;
    let count = 0;
    for (const { operation } of this.#waiting) {
      bytes += operation.json.length;
      if (count === maxOperations || (count > 0 && bytes > maxWriteBytes)) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }
}

function present(result: Result | undefined): Result {
  if (result === undefined) throw new ApiError('InternalError', 'the server answered a write with no result');
  return result;
}
