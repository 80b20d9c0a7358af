import { messageOf } from '../../lib/base/errors.ts';
import { RuntimeError } from './runtime.ts';

/** The HTTP status of an answer of the engine, where there was one. */
export const statusOf = (error: unknown): number | undefined => {
  const status = (error as { statusCode?: unknown } | undefined)?.statusCode;
  return typeof status === 'number' ? status : undefined;
};

/** The engine's own sentence, without what its client guesses that the status means. */
export function textOf(error: unknown): string {
  const json = (error as { json?: { message?: unknown } } | undefined)?.json;
  if (typeof json?.message === 'string') return json.message;
  return messageOf(error).replace(/^\(HTTP code \d+\) .*? - /, '');
}

/** What the engine said as an error of the seam: of `code`, or `Unavailable` where it did not answer at all. */
export function runtimeError(error: unknown, code: RuntimeError['code'], what?: string): RuntimeError {
  if (error instanceof RuntimeError) return error;
  const status = statusOf(error);
  const text = what === undefined ? textOf(error) : `${what}: ${textOf(error)}`;
  if (status === undefined)
    return new RuntimeError('Unavailable', `the container engine does not answer: ${text}`, { cause: error });
  return new RuntimeError(code, text, { cause: error });
}

/** The same for streams into a container that may be gone or may not run. */
export const streamError = (error: unknown, what: string): RuntimeError => {
  if (statusOf(error) === 404) return runtimeError(error, 'NotFound', what);
  const isDown = statusOf(error) === 409 || /is not running/i.test(messageOf(error));
  return isDown
    ? new RuntimeError('NotRunning', 'the container does not run', { cause: error })
    : runtimeError(error, 'Unavailable', what);
};
