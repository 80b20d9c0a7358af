import { request } from 'node:http';
import { splitAddress } from '../../lib/base/telemetry.ts';
import type { ReadyCheck } from './part.ts';

const timeoutMs = 2_000;

/** Asks a part how it is: undefined when ready, else why not. Never rejects. */
export function notReady(check: ReadyCheck): Promise<string | undefined> {
  const target =
    check.kind === 'socket'
      ? { socketPath: check.path, path: check.request }
      : { ...splitAddress(check.address), path: check.path };
  return new Promise((resolve) => {
    const asking = request({ ...target, timeout: timeoutMs }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      answer.on('end', () => {
        resolve(
          answer.statusCode === 200 ? undefined : text.trim().slice(0, 500) || `answers ${answer.statusCode ?? '?'}`,
        );
      });
    });
    asking.on('timeout', () => asking.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    asking.on('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'ECONNREFUSED' || error.code === 'ENOENT' ? 'not listening yet' : error.message);
    });
    asking.end();
  });
}
