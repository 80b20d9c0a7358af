import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { hostname } from 'node:os';
import { renderPage } from './page.ts';
import { Redis, type Reply } from './resp.ts';

// Entries are written to the master, found by the DNS name of its Service, and read from the replicas, found by the
// environment variables that every Service gives to the pods started after it: the two ways to find a Service.
const master = new Redis('redis-master', 6379);
const replicaHost = process.env['REDIS_REPLICA_SERVICE_HOST'] ?? 'redis-replica';
const replica = new Redis(replicaHost, Number(process.env['REDIS_REPLICA_SERVICE_PORT'] ?? 6379));

const port = Number(process.env['PORT'] ?? 8080);
const servedBy = hostname();
const key = 'entries';
const maxEntries = 100;
const maxLength = 500;
/** How long a writer waits for the replicas, so that the page it is sent to shows the entry. */
const replicationWaitMs = 250;

/** The latest first. Asked again once when the connection broke: another replica may have taken over. */
async function readEntries(): Promise<string[]> {
  const ask = (): Promise<Reply> => replica.send('LRANGE', key, '0', String(maxEntries - 1));
  const reply = await ask().catch(ask);
  return Array.isArray(reply) ? (reply as readonly Reply[]).map(String) : [];
}

async function addEntry(entry: string): Promise<void> {
  await master.send('LPUSH', key, entry);
  await Promise.all([
    master.send('LTRIM', key, '0', String(maxEntries - 1)),
    master.send('WAIT', '2', String(replicationWaitMs)),
  ]);
}

const server = createServer((request, response) => {
  handle(request, response).catch((error: unknown) => {
    const problem = error instanceof Error ? error.message : String(error);
    console.error(`${request.method ?? ''} ${request.url ?? ''}: ${problem}`);
    if (response.headersSent) return void response.destroy();
    const wantsJson = request.headers.accept?.includes('application/json') === true;
    if (wantsJson) sendJson(response, 503, { error: problem, servedBy });
    else send(response, 503, 'text/html; charset=utf-8', renderPage({ entries: [], servedBy, problem }));
  });
});

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? '/', 'http://guestbook');
  switch (`${request.method ?? ''} ${pathname}`) {
    case 'GET /':
      return send(response, 200, 'text/html; charset=utf-8', renderPage({ entries: await readEntries(), servedBy }));
    case 'GET /entries':
      return sendJson(response, 200, { entries: await readEntries(), servedBy });
    case 'POST /entries': {
      const entry = entryOf(request, await bodyOf(request));
      if (entry === '') return sendJson(response, 400, { error: 'the entry is empty', servedBy });
      if (entry.length > maxLength) {
        return sendJson(response, 400, { error: `the entry is longer than ${maxLength} characters`, servedBy });
      }
      await addEntry(entry);
      if (isJson(request)) return sendJson(response, 201, { entry, servedBy });
      response.writeHead(303, { location: '/', 'x-served-by': servedBy }).end();
      return;
    }
    case 'GET /healthz':
      return send(response, 200, 'text/plain', 'ok\n');
    default:
      return send(response, 404, 'text/plain', 'There is /, /entries and /healthz\n');
  }
}

const isJson = (request: IncomingMessage): boolean =>
  request.headers['content-type']?.startsWith('application/json') === true;

function entryOf(request: IncomingMessage, body: string): string {
  if (!isJson(request)) return (new URLSearchParams(body).get('entry') ?? '').trim();
  const parsed: unknown = JSON.parse(body);
  const entry: unknown = typeof parsed === 'object' && parsed !== null && 'entry' in parsed ? parsed.entry : undefined;
  return typeof entry === 'string' ? entry.trim() : '';
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > 64 * 1024) throw new Error('the request is larger than 64 KiB');
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store', 'x-served-by': servedBy }).end(body);
}

const sendJson = (response: ServerResponse, status: number, body: object): void => {
  send(response, status, 'application/json', `${JSON.stringify(body)}\n`);
};

// A container's first process gets no default signal handling: without this, SIGTERM would be ignored until SIGKILL.
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    server.close(() => {
      master.close();
      replica.close();
    });
    server.closeIdleConnections();
  });
}

server.listen(port, () => {
  console.log(`guestbook on port ${port}; writing to redis-master, reading from ${replicaHost}`);
});
