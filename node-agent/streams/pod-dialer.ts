import { spawn, type ChildProcess } from 'node:child_process';
import { connect as connectSocket, Socket } from 'node:net';
import type { Clock } from '../../lib/base/clock.ts';

/** Connects to ports as seen from inside a pod. */
export interface PodDialer {
  /**
   * A connection to `port` at the loopback of the network namespace of a process; `undefined`: of this machine's own.
   * Half-open: either side may end alone. Rejects with what the kernel says.
   */
  connect(pid: number | undefined, port: number): Promise<Socket>;
  /** Ends the helpers; connections go on. */
  close(): void;
}

const dialTimeoutMs = 10_000;
/** A helper that is asked for nothing for so long ends. */
const helperIdleMs = 10_000;
const hosts = ['127.0.0.1', '::1'];

/**
 * A network namespace is entered by a process, so a helper connects there and hands the connected socket over, which works on like one
 * made here: no byte of a connection goes through the helper. One helper a pod, for as long as connections are asked for.
 */
export function newPodDialer(clock: Clock): PodDialer {
  const helpers = new Map<number, Helper>();
  return {
    async connect(pid, port) {
      if (pid === undefined) return connectHere(port);
      let helper = helpers.get(pid);
      if (helper === undefined) {
        helper = new Helper(pid, clock, () => helpers.delete(pid));
        helpers.set(pid, helper);
      }
      return helper.connect(port);
    },
    close() {
      for (const helper of helpers.values()) helper.end();
    },
  };
}

/**
 * What runs in the namespace: connects, and sends the socket before anything is read from it. Node's own, so that the machine
 * needs nothing for it.
 */
const program = `
const { connect } = require('node:net');
process.on('disconnect', () => process.exit());
process.on('message', ({ id, port, hosts, timeoutMs }) => {
  const dial = ([host, ...rest]) => {
    const socket = connect({ host, port });
    socket.pause();
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error('no answer within ' + timeoutMs / 1000 + ' s')));
    socket.once('error', (error) => {
      if (rest.length > 0 && error.code === 'ECONNREFUSED') dial(rest);
      else process.send({ id, error: error.message });
    });
    socket.once('connect', () => {
      socket.setTimeout(0);
      process.send({ id }, socket);
    });
  };
  dial(hosts);
});
`;

interface Answer {
  readonly id: number;
  readonly error?: string;
}
interface Waiting {
  readonly resolve: (socket: Socket) => void;
  readonly reject: (error: Error) => void;
}

class Helper {
  readonly #child: ChildProcess;
  readonly #clock: Clock;
  readonly #waiting = new Map<number, Waiting>();
  readonly #onEnd: () => void;
  #nextId = 0;
  #cancelIdle: () => void = () => undefined;
  #words = '';

  constructor(pid: number, clock: Clock, onEnd: () => void) {
    this.#clock = clock;
    this.#onEnd = onEnd;
    const args = [`--net=/proc/${pid}/ns/net`, '--', process.execPath, '--input-type=commonjs', '-e', program];
    const env = { PATH: process.env['PATH'] ?? '' };
    this.#child = spawn('nsenter', args, { env, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    this.#child.stderr?.on('data', (text: Buffer) => (this.#words = (this.#words + text.toString()).slice(-500)));
    this.#child.on('message', (answer: Answer, handle: unknown) => {
      this.#onAnswer(answer, handle instanceof Socket ? handle : undefined);
    });
    this.#child.once('error', (error) => {
      this.#onGone(error.message);
    });
    this.#child.once('exit', () => {
      this.#onGone(this.#words.trim());
    });
  }

  connect(port: number): Promise<Socket> {
    this.#cancelIdle();
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      const question = { id, port, hosts, timeoutMs: dialTimeoutMs };
      this.#child.send(question, (error) => {
        if (error !== null) this.#onGone(error.message);
      });
    });
  }

  end(): void {
    this.#cancelIdle();
    this.#onEnd();
    if (this.#child.connected) this.#child.disconnect(); // it ends by that
  }

  #onAnswer({ id, error }: Answer, socket: Socket | undefined): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (waiting === undefined) socket?.destroy();
    else if (socket === undefined) waiting.reject(new Error(error ?? 'the helper sent no connection'));
    else {
      socket.allowHalfOpen = true;
      waiting.resolve(socket);
    }
    if (this.#waiting.size > 0) return;
    this.#cancelIdle();
    this.#cancelIdle = this.#clock.after(helperIdleMs, () => {
      this.end();
    });
  }

  #onGone(why: string): void {
    this.#cancelIdle();
    this.#onEnd();
    const error = new Error(`the pod's network cannot be entered${why === '' ? '' : `: ${why}`}`);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

async function connectHere(port: number): Promise<Socket> {
  for (const host of hosts) {
    try {
      return await connectTo(host, port);
    } catch (error) {
      if (host === hosts.at(-1) || (error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') throw error;
    }
  }
  throw new Error('no address to connect to');
}

function connectTo(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ host, port, allowHalfOpen: true });
    socket.setTimeout(dialTimeoutMs, () => socket.destroy(new Error(`no answer within ${dialTimeoutMs / 1000} s`)));
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.setTimeout(0);
      socket.off('error', reject);
      resolve(socket);
    });
  });
}
