import { messageOf } from '../../lib/base/errors.ts';

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
