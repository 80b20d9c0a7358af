import { Agent as HttpAgent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import type { Container, HttpGetAction, IntOrString, ProbeHandler } from '../../lib/api/objects.ts';
import { messageOf } from '../../lib/base/errors.ts';
import { RuntimeError, type ContainerRuntime } from '../runtime/runtime.ts';
import { checkGrpc } from './grpc-check.ts';
import type { Outcome } from './outcome.ts';

export interface Target {
  readonly containerId: string;
  readonly container: Container;
  readonly podIp: string;
}

/** Does one check or hook. Never rejects: what cannot be done has failed. */
export type Checker = (handler: ProbeHandler, target: Target, timeoutMs: number) => Promise<Outcome>;

/** Checks over the network (HTTP, TCP, gRPC) and inside containers (F74, F75, F76). */
export function newChecker(runtime: Pick<ContainerRuntime, 'exec'>): Checker {
  return async (handler, target, timeoutMs) => {
    try {
      if (handler.exec !== undefined) return await checkExec(runtime, handler.exec.command ?? [], target, timeoutMs);
      if (handler.httpGet !== undefined) return await checkHttp(handler.httpGet, target, timeoutMs);
      if (handler.tcpSocket !== undefined) return await checkTcp(handler.tcpSocket, target, timeoutMs);
      if (handler.grpc === undefined) return { ok: false, message: 'the probe names nothing to check' };
      return await checkGrpc(`${inUrl(target.podIp)}:${handler.grpc.port}`, handler.grpc.service ?? '', timeoutMs);
    } catch (error) {
      const unknown = error instanceof RuntimeError && (error.code === 'Unavailable' || error.code === 'NotFound');
      return { ok: false, message: messageOf(error), ...(unknown ? { unknown } : {}) };
    }
  };
}

async function checkExec(
  runtime: Pick<ContainerRuntime, 'exec'>,
  command: readonly string[],
  { containerId }: Target,
  timeoutMs: number,
): Promise<Outcome> {
  const result = await runtime.exec(containerId, command, timeoutMs);
  if (result.timedOut)
    return { ok: false, message: `command "${command.join(' ')}" timed out after ${timeoutMs / 1000} s` };
  return { ok: result.exitCode === 0, message: result.output.trim().slice(0, 1024) || `exit code ${result.exitCode}` };
}

function checkTcp(
  { port, host }: { port: IntOrString; host?: string },
  target: Target,
  timeoutMs: number,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = connect({ port: portOf(port, target.container), host: hostOf(host, target) });
    const end = (ok: boolean, message: string): void => {
      resolve({ ok, message });
      socket.destroy();
    };
    socket.setTimeout(timeoutMs, () => {
      end(false, `no connection within ${timeoutMs / 1000} s`);
    });
    socket.once('connect', () => {
      end(true, 'connected');
    });
    socket.once('error', (error) => {
      end(false, error.message);
    });
  });
}

const maxRedirects = 10;
const maxBodyBytes = 10 * 1024;

/** One deadline for all: redirects (followed on the same host only; to another they count as an answer) share the time-out. */
async function checkHttp(action: HttpGetAction, target: Target, timeoutMs: number): Promise<Outcome> {
  const host = hostOf(action.host, target);
  const path = action.path.startsWith('/') ? action.path : `/${action.path}`;
  const port = portOf(action.port, target.container);
  const headers = headersOf(action);
  const deadline = new Deadline(timeoutMs);
  try {
    let url = new URL(`${action.scheme.toLowerCase()}://${inUrl(host)}:${port}${path}`);
    for (let redirects = 0; ; redirects++) {
      const { status, location, body } = await get(url, headers, deadline).catch((error: unknown) => {
        if (!deadline.isOver) throw error;
        throw new Error(`no answer from ${url.href} within ${timeoutMs / 1000} s`, { cause: error });
      });
      const next = status >= 300 && status < 400 && location !== undefined ? new URL(location, url) : undefined;
      if (next === undefined || next.hostname !== url.hostname) return outcomeOf(status, body);
      if (redirects === maxRedirects)
        return { ok: false, message: `stopped after ${maxRedirects} redirects, the last one to ${next.href}` };
      url = next;
    }
  } finally {
    deadline.clear();
  }
}

const outcomeOf = (status: number, body: string): Outcome =>
  status >= 200 && status < 400
    ? { ok: true, message: `HTTP ${status}` }
    : { ok: false, message: `HTTP probe failed with statuscode: ${status}${body === '' ? '' : `: ${body}`}` };

/** Ends whatever request is under way when the time is over. One timer a check: probes are many. */
class Deadline {
  readonly #timer: NodeJS.Timeout;
  #request: ClientRequest | undefined;
  isOver = false;

  constructor(timeoutMs: number) {
    this.#timer = setTimeout(() => {
      this.isOver = true;
      this.#request?.destroy();
    }, timeoutMs);
  }
  watch(request: ClientRequest): void {
    this.#request = request;
  }
  clear(): void {
    clearTimeout(this.#timer);
  }
}

type Headers = Readonly<Record<string, string | readonly string[]>>;

/** What is asked for replaces our own; a header that is named twice is sent twice. */
function headersOf({ httpHeaders = [] }: HttpGetAction): Headers {
  const asked = new Map<string, string[]>();
  for (const { name, value } of httpHeaders) {
    const key = name.toLowerCase();
    asked.set(key, [...(asked.get(key) ?? []), value]);
  }
  const own = { 'user-agent': 'kube-probe/1.32', accept: '*/*', connection: 'close' };
  const list = [...asked].map(([key, values]) => [key, values.length === 1 ? (values[0] ?? '') : values] as const);
  return { ...own, ...Object.fromEntries(list) };
}

interface HttpAnswer {
  readonly status: number;
  readonly location: string | undefined;
  readonly body: string;
}

/** A connection for each check: what an open one would answer says nothing of new ones. */
const agents = { http: new HttpAgent({ keepAlive: false }), https: new HttpsAgent({ keepAlive: false }) };

function get(url: URL, headers: Headers, deadline: Deadline): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const onAnswer = (response: IncomingMessage): void => {
      let body = '';
      response.setEncoding('utf8');
      const end = (): void => {
        resolve({
          status: response.statusCode ?? 0,
          location: response.headers.location,
          body: body.slice(0, 200).trim(),
        });
      };
      response.on('data', (text: string) => {
        body += text;
        if (body.length < maxBodyBytes) return;
        end(); // enough to go by: what never ends is no reason to wait
        response.destroy();
      });
      response.once('error', reject);
      response.once('end', end);
    };
    // A certificate says nothing about health, and pods have their own.
    const options = { headers: headers as Record<string, string | string[]> };
    const asked =
      url.protocol === 'https:'
        ? httpsRequest(url, { ...options, agent: agents.https, rejectUnauthorized: false }, onAnswer)
        : httpRequest(url, { ...options, agent: agents.http }, onAnswer);
    deadline.watch(asked);
    asked.once('error', reject);
    asked.end();
  });
}

const inUrl = (host: string): string => (host.includes(':') ? `[${host}]` : host);

const hostOf = (host: string | undefined, target: Target): string =>
  host === undefined || host === '' ? target.podIp : host;

/** A number, or the name of one of the container's ports. */
export function portOf(port: IntOrString, container: Container): number {
  if (typeof port === 'number') return port;
  const named = container.ports?.find((candidate) => candidate.name === port)?.containerPort;
  const number = named ?? Number(port);
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`container "${container.name}" has no port named "${port}"`);
  return number;
}
