import { readFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createSecure } from 'node:https';
import { createInterface } from 'node:readline';
import { Server, ServerCredentials, type sendUnaryData } from '@grpc/grpc-js';

/**
 * A program that says how it feels, for tests that run it in a pod's network namespace:
 * `health-server.ts <key> <certificate>`. HTTP on 8080, HTTPS on 8443, gRPC health on 9090; lines of its standard input set what
 * it answers: `http 503`, `grpc 2`. Says `ready` when all listen, and the paths it was asked for.
 */
let code = 200;
let serving = 1;
const answer: RequestListener = (request, response) => {
  console.log(`asked ${request.url ?? ''} ${String(request.headers['x-check'])}`);
  if (request.url === '/elsewhere') response.writeHead(302, { location: 'http://elsewhere.invalid/' }).end();
  else if (request.url === '/moved') response.writeHead(302, { location: '/healthz' }).end();
  else response.writeHead(code).end(`it is ${code}`);
};
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [what, value] = line.split(' ');
    if (what === 'http') code = Number(value);
    else serving = Number(value);
  })
  .once('close', () => process.exit(0)); // whoever started it is gone

const grpc = new Server();
const bytes = (value: Buffer): Buffer => value;
const check = { path: '/grpc.health.v1.Health/Check', requestStream: false, responseStream: false } as const;
const asBytes = {
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
};
grpc.addService(
  { Check: { ...check, ...asBytes } },
  {
    Check: (_: unknown, reply: sendUnaryData<Buffer>) => {
      reply(null, Buffer.from([0x08, serving]));
    },
  },
);

const [key = '', certificate = ''] = process.argv.slice(2);
await Promise.all([
  new Promise<void>((resolve) => createServer(answer).listen(8080, resolve)),
  new Promise<void>((resolve) =>
    createSecure({ key: readFileSync(key), cert: readFileSync(certificate) }, answer).listen(8443, resolve),
  ),
  new Promise<void>((resolve, reject) => {
    grpc.bindAsync('0.0.0.0:9090', ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  }),
]);
console.log('ready');
