import { execFile } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import { promisify } from 'node:util';
import { contains, parseCidr, parseIp } from '../../lib/api/net.ts';

const exec = promisify(execFile);

/** A device whose neighbours may ask for an address. */
interface Device {
  readonly name: string;
  readonly mac: string;
}

/** Those of this machine's devices on whose networks `ip` is a neighbour's address; what is routed here from elsewhere needs no telling. */
export function devicesFor(ip: string, interfaces = networkInterfaces()): readonly Device[] {
  const wanted = parseIp(ip);
  return Object.entries(interfaces).flatMap(([name, all = []]) => {
    const found = all.find(({ cidr, internal, mac }) => {
      const network = internal || mac === noMac || cidr === null ? undefined : parseCidr(cidr);
      return network !== undefined && network.bits < 32 && wanted !== undefined && contains(network, wanted);
    });
    return found === undefined ? [] : [{ name, mac: found.mac }];
  });
}

/**
 * Tells the neighbours on this machine's networks that `ip` is here now, twice, a second apart (gratuitous ARP, RFC 5227, 2.3): who still knows
 * another machine for it, as after a failover, would send there until his memory runs out. Needs root and perl, which has the system
 * calls that Node has not. Rejects when that does not work: the address serves all the same, some neighbours later.
 */
export async function announce(ip: string): Promise<void> {
  for (const { name, mac } of devicesFor(ip)) {
    await exec('perl', ['-e', sender, name, mac.replaceAll(':', ''), ip], { timeout: 10_000 });
  }
}

const noMac = '00:00:00:00:00:00';

/** packet(7) and RFC 826: to all, from us, "who has our address? tell us". */
const sender = String.raw`
use strict; use Socket;
my ($mac, $ip) = (pack('H12', $ARGV[1]), inet_aton($ARGV[2]));
socket(my $s, 17, SOCK_DGRAM, unpack('S', pack('n', 0x0806))) or die "socket: $!";
ioctl($s, 0x8933, my $device = pack('a16 x24', $ARGV[0])) or die "$ARGV[0]: $!"; # SIOCGIFINDEX, netdevice(7)
my $all = pack('S n i S C C a8', 17, 0x0806, unpack('x16 i', $device), 1, 1, 6, "\xff" x 6);
my $said = pack('n n C C n', 1, 0x0800, 6, 4, 1) . $mac . $ip . "\0" x 6 . $ip;
for (1, 2) { send($s, $said, 0, $all) or die "send: $!"; sleep 1 if $_ == 1 }
`;
