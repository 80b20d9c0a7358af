import { createServer } from 'node:http';

/** What is checked: a server that tells how long its queue is. `PUT /queue` with a number makes it as long. */
let queue = 0;
const server = createServer((request, reply) => {
  if (request.method !== 'PUT') {
    reply.end(JSON.stringify({ queue }));
    return;
  }
  let body = '';
  request.on('data', (part: Buffer) => (body += part.toString()));
  request.on('end', () => {
    queue = Number(body);
    reply.end();
  });
});
server.listen(8080);
// The first process of a container has no handlers but its own: without these it would be killed only after its grace.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => process.exit(0));
