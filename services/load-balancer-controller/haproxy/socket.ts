import { createConnection, type Socket } from 'node:net';

const answerMs = 5_000;
const maxAnswer = 64 * 1024 * 1024;

/** Sends commands to one of HAProxy's sockets and resolves to all it answered. Rejects when nobody listens, or not within 5 s. */
export function ask(path: string, commands: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    const chunks: Buffer[] = [];
    let size = 0;
    const fail = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    socket.setTimeout(answerMs, () => {
      fail(new Error(`HAProxy did not answer at ${path} within ${answerMs / 1000} s`));
    });
    socket.on('error', fail);
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > maxAnswer) fail(new Error(`HAProxy's answer at ${path} is longer than ${maxAnswer} bytes`));
    });
    socket.on('end', () => {
      resolve(Buffer.concat(chunks).toString());
    });
    socket.end(`${commands.join(';')}\n`);
  });
}

/** Whether somebody listens at a socket. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket: Socket = createConnection(path);
    const finish = (is: boolean) => () => {
      socket.destroy();
      resolve(is);
    };
    socket.once('connect', finish(true));
    socket.once('error', finish(false));
  });
}
