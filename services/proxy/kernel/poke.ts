import type { Flow } from './flow.ts';

/**
 * Makes clients that only wait notice that their connection leads nowhere. A packet in the name of what they connected to, a SYN-ACK that fits no
 * connection, makes a client's kernel say what it has (RFC 5961, 4.2: a challenge ACK). That comes by a flow that has been forgotten, so it goes to an
 * endpoint that does not know it, or to nobody, and is answered by a reset with just the number that the client accepts. Connection
 * tracking takes no notice of a SYN-ACK that begins a flow, and whoever drops it leaves things as they were. A client that is still opening
 * finds the number wrong (RFC 9293, 3.10.7.3), and Linux tries again at once, not when its second is over.
 */
export const pokeProgram = `
socket(my $s, 2, 3, 255) or exit 71;
binmode STDIN; binmode STDOUT;
while (read(STDIN, my $head, 4) == 4) {
  my $size = unpack('L', $head);
  read(STDIN, my $body, $size) == $size or last;
  for (my $at = 0; $at < $size; $at += 40) {
    my $packet = substr($body, $at, 40);
    send($s, $packet, 0, pack('S n a4 x8', 2, 0, substr($packet, 16, 4)));
  }
  syswrite(STDOUT, pack('L', 0));
}`;

/** Packets of 40 bytes, one for each of the flows that a client may wait on. */
export function pokesFor(flows: readonly Flow[]): Buffer {
  return Buffer.concat(flows.filter(({ protocol }) => protocol === 'tcp').map(pokeFor));
}

function pokeFor({ client, address, port }: Flow): Buffer {
  const packet = Buffer.alloc(40);
  packet.writeUInt8(0x45, 0); // IPv4, 20 bytes
  packet.writeUInt16BE(40, 2);
  packet.writeUInt8(64, 8);
  packet.writeUInt8(6, 9);
  const ends = [address, client.ip].flatMap((ip) => ip.split('.').map(Number));
  Buffer.from(ends).copy(packet, 12);
  packet.writeUInt16BE(checksum(packet.subarray(0, 20)), 10);
  packet.writeUInt16BE(port, 20);
  packet.writeUInt16BE(client.port, 22);
  packet.writeUInt8(0x50, 32); // 20 bytes
  packet.writeUInt8(0x12, 33); // SYN, ACK
  const pseudo = Buffer.concat([packet.subarray(12, 20), Buffer.from([0, 6, 0, 20]), packet.subarray(20)]);
  packet.writeUInt16BE(checksum(pseudo), 36);
  return packet;
}

/** RFC 1071, of an even number of bytes. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
