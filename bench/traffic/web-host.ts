import { createServer } from 'node:net';
import { serveRequests } from '../../test/support/netns-requests.ts';

const body = 'hello from a pod\n';
const answer = (close: boolean): string =>
  `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n${close ? 'Connection: close\r\n' : ''}Content-Length: ${body.length}\r\n\r\n${body}`;
const [kept, closed] = [answer(false), answer(true)];

/** A backend that costs as little as Node allows: it counts requests by their blank lines and answers without looking further. */
serveRequests({
  serve: ({ port }: { readonly port: number }) =>
    new Promise<void>((resolve) => {
      createServer({ noDelay: true }, (socket) => {
        socket.on('error', () => undefined);
        socket.on('data', (data) => {
          const text = data.toString('latin1');
          if (text.includes('Connection: close')) return void socket.end(closed);
          socket.write(kept.repeat(Math.max(1, text.split('\r\n\r\n').length - 1)));
        });
      }).listen(port, '0.0.0.0', 4096, resolve);
    }),
});
