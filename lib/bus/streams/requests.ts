import type { LogWish } from '../../api/streams.ts';
import { ApiError } from '../../base/errors.ts';

/** What a stream to a node's agent is for; the first thing that its opener says. */
export type StreamRequest =
  LogsRequest | ExecRequest | AttachRequest | PortForwardRequest | ReadFilesRequest | WriteFilesRequest;

export interface StreamTarget {
  readonly namespace: string;
  readonly pod: string;
  /** Only this pod, not a later one of the same name. */
  readonly uid?: string;
  /** May be left out where the pod has one container. */
  readonly container?: string;
}

/** `stdout` comes, with `follow` also `position`: where it is after what came. Closed at the end of the output. */
export interface LogsRequest extends StreamTarget, LogWish {
  readonly verb: 'logs';
}
/** `stdin` and `resize` go, `stdout` and `stderr` come; closed with the exit code. With a terminal all output is `stdout`. */
export interface ExecRequest extends StreamTarget {
  readonly verb: 'exec';
  readonly command: readonly string[];
  readonly stdin?: boolean;
  readonly tty?: boolean;
}

/** As exec, to the container's own first process. Closed with its exit code, should it end. */
export interface AttachRequest extends StreamTarget {
  readonly verb: 'attach';
  readonly stdin?: boolean;
}

/** One connection to a port inside the pod: `data` goes and comes. */
export interface PortForwardRequest extends StreamTarget {
  readonly verb: 'port-forward';
  readonly port: number;
}

/** Files as a tar: first one `about` (FileAbout as JSON), then `data` comes. */
export interface ReadFilesRequest extends StreamTarget {
  readonly verb: 'read-files';
  /** Absolute. */
  readonly path: string;
}

/** Unpacks a tar (`data` goes) into a folder that is there; closed when all is written. */
export interface WriteFilesRequest extends StreamTarget {
  readonly verb: 'write-files';
  /** Absolute. */
  readonly path: string;
}

type Shape = Readonly<Record<string, 'string' | 'number' | 'boolean' | 'list'>>;
const shapes: Readonly<Record<StreamRequest['verb'], Shape>> = {
  logs: {
    ...{ follow: 'boolean', tailLines: 'number', sinceSeconds: 'number', sinceTime: 'string' },
    ...{ timestamps: 'boolean', previous: 'boolean', limitBytes: 'number', after: 'string' },
  },
  exec: { command: 'list', stdin: 'boolean', tty: 'boolean' },
  attach: { stdin: 'boolean' },
  'port-forward': { port: 'number' },
  'read-files': { path: 'string' },
  'write-files': { path: 'string' },
};
const targetShape: Shape = { namespace: 'string', pod: 'string', uid: 'string', container: 'string' };
const required = new Set(['command', 'port', 'path', 'namespace', 'pod']);

/** Checks what came from outside. BadRequest names the member that is wrong; members not known are passed over. */
export function checkRequest(value: unknown): StreamRequest {
  const request = (value ?? {}) as Readonly<Record<string, unknown>>;
  const shape = shapes[request['verb'] as StreamRequest['verb']] as (typeof shapes)[keyof typeof shapes] | undefined;
  if (shape === undefined)
    throw new ApiError(
      'BadRequest',
      `verb ${JSON.stringify(request['verb'])} is not one of ${Object.keys(shapes).join(', ')}`,
    );
  for (const [name, type] of Object.entries({ ...targetShape, ...shape })) {
    const member = request[name];
    if (member === undefined && !required.has(name)) continue;
    const fits =
      type === 'list'
        ? Array.isArray(member) && member.length > 0 && member.every((item) => typeof item === 'string')
        : typeof member === type;
    if (!fits) throw new ApiError('BadRequest', `${name} must be a ${type === 'list' ? 'list of words' : type}`);
  }
  if (request['port'] !== undefined) checkPort(request['port'] as number);
  return value as StreamRequest;
}

function checkPort(port: number): void {
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return;
  throw new ApiError('BadRequest', `port ${port} must be a whole number from 1 to 65535`);
}
