import { ApiError } from '../../../lib/base/errors.ts';

const hasGone = new ApiError('Timeout', 'the caller has gone');
const isStopping = new ApiError('ServiceUnavailable', 'the server is stopping');

/**
 * Somebody who waits for an answer, until it is out or he has gone. Most requests are over before anybody asks for a signal, which is dear
 * beside the rest of a short request: it is made when it is asked for.
 */
export class Waiter {
  #over: ApiError | undefined;
  #listeners: ((why: ApiError) => void)[] | undefined;
  #controller: AbortController | undefined;

  /** Aborted when the wait is over. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#over !== undefined) this.#controller.abort(this.#over);
    }
    return this.#controller.signal;
  }

  /** Calls with the reason when the wait is over; at once where it is. */
  onOver(listener: (why: ApiError) => void): void {
    if (this.#over !== undefined) listener(this.#over);
    else (this.#listeners ??= []).push(listener);
  }

  /** The second call does nothing. */
  end(why: ApiError): void {
    if (this.#over !== undefined) return;
    this.#over = why;
    this.#controller?.abort(why);
    const listeners = this.#listeners;
    this.#listeners = undefined;
    if (listeners !== undefined) for (const listener of listeners) listener(why);
  }
}

/** All who wait: a stop ends every wait. */
export class Waiters {
  readonly #present = new Set<Waiter>();
  #stopped = false;

  /** Waits until the connection closes, or the server stops. */
  present(connection: { once(event: 'close', listener: () => void): unknown }): Waiter {
    const waiter = new Waiter();
    if (this.#stopped) {
      waiter.end(isStopping);
      return waiter;
    }
    this.#present.add(waiter);
    connection.once('close', () => {
      this.#present.delete(waiter);
      waiter.end(hasGone);
    });
    return waiter;
  }

  dismiss(): void {
    this.#stopped = true;
    for (const waiter of this.#present) waiter.end(isStopping);
    this.#present.clear();
  }
}
