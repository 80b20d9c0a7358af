import type { Socket } from 'node:net';

const signature = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);

/** What a connection to a backend begins with so that it learns who connects (PROXY protocol, versions 1 and 2, TCP over IPv4). */
export function proxyHeader(version: 'v1' | 'v2', client: Pick<Socket, Address>): Buffer {
  const [from, to] = [client.remoteAddress ?? '0.0.0.0', client.localAddress ?? '0.0.0.0'];
  const [fromPort, toPort] = [client.remotePort ?? 0, client.localPort ?? 0];
  if (version === 'v1') return Buffer.from(`PROXY TCP4 ${from} ${to} ${fromPort} ${toPort}\r\n`, 'latin1');
  const header = Buffer.alloc(signature.length + 4 + 12);
  signature.copy(header);
  header.set([0x21, 0x11, 0, 12], 12); // version 2, PROXY; TCP over IPv4; 12 bytes follow
  header.set(from.split('.').map(Number), 16);
  header.set(to.split('.').map(Number), 20);
  header.writeUInt16BE(fromPort, 24);
  header.writeUInt16BE(toPort, 26);
  return header;
}

type Address = 'remoteAddress' | 'remotePort' | 'localAddress' | 'localPort';
