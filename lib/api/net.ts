/**
 * IPv4 addresses as unsigned 32-bit numbers, and blocks of them (CIDR, RFC 4632). Only the plain dotted form is
 * an address: four decimal numbers without leading zeros, which no reader can take for octal.
 */
export interface Cidr {
  /** The first address of the block. */
  readonly base: number;
  /** 0 to 32. */
  readonly bits: number;
}

const octet = '(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])';
const dotted = new RegExp(`^${octet}\\.${octet}\\.${octet}\\.${octet}$`);

/** The number of an address; undefined when the text is none. */
export function parseIp(text: string): number | undefined {
  const found = dotted.exec(text);
  if (found === null) return undefined;
  return Number(found[1]) * 2 ** 24 + Number(found[2]) * 2 ** 16 + Number(found[3]) * 2 ** 8 + Number(found[4]);
}

export const formatIp = (ip: number): string =>
  `${Math.floor(ip / 2 ** 24) % 256}.${Math.floor(ip / 2 ** 16) % 256}.${Math.floor(ip / 2 ** 8) % 256}.${ip % 256}`;

/** The block that a text such as `10.96.0.0/16` names; host bits are cleared. Undefined when it is none. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const ip = slash < 0 ? undefined : parseIp(text.slice(0, slash));
  const suffix = text.slice(slash + 1);
  if (ip === undefined || !/^(3[0-2]|[12]?[0-9])$/.test(suffix)) return undefined;
  const bits = Number(suffix);
  return { base: ip - (ip % 2 ** (32 - bits)), bits };
}

export const formatCidr = (cidr: Cidr): string => `${formatIp(cidr.base)}/${cidr.bits}`;

/** How many addresses the block has. */
export const sizeOf = (cidr: Cidr): number => 2 ** (32 - cidr.bits);

export const contains = (cidr: Cidr, ip: number): boolean => ip >= cidr.base && ip < cidr.base + sizeOf(cidr);

export const overlaps = (a: Cidr, b: Cidr): boolean => contains(a, b.base) || contains(b, a.base);

/** The nth address, from 0: the network's own. RangeError beyond the end. */
export function nthAddress(cidr: Cidr, n: number): number {
  if (!Number.isInteger(n) || n < 0 || n >= sizeOf(cidr))
    throw new RangeError(`${formatCidr(cidr)} has no address number ${n}`);
  return cidr.base + n;
}

/** How many blocks of `bits` fit; 0 when the block itself is smaller. */
export const subnetCount = (cidr: Cidr, bits: number): number => (bits < cidr.bits ? 0 : 2 ** (bits - cidr.bits));

/** The nth block of `bits` inside, from 0. RangeError when there are not so many. */
export function nthSubnet(cidr: Cidr, bits: number, n: number): Cidr {
  if (!Number.isInteger(n) || n < 0 || n >= subnetCount(cidr, bits) || bits > 32)
    throw new RangeError(`${formatCidr(cidr)} has no block of /${bits} number ${n}`);
  return { base: cidr.base + n * 2 ** (32 - bits), bits };
}

/** Every block of `bits` inside, in order, made as it is asked for. */
export function* subnets(cidr: Cidr, bits: number): Generator<Cidr> {
  const count = subnetCount(cidr, bits);
  for (let n = 0; n < count; n++) yield nthSubnet(cidr, bits, n);
}

/** `4.3.2.1.in-addr.arpa` for `1.2.3.4` (RFC 1035, 3.5). */
export const reverseName = (ip: number): string => `${formatIp(ip).split('.').reverse().join('.')}.in-addr.arpa`;

const block = (text: string): Cidr => parseCidr(text) ?? { base: 0, bits: 0 };
const loopback = block('127.0.0.0/8');
const linkLocal = block('169.254.0.0/16');
const multicast = block('224.0.0.0/4');

/** Why traffic cannot be sent to an address as an endpoint; undefined when it can. */
export function unusableAsEndpoint(ip: number): string | undefined {
  if (ip === 0) return 'must not be the unspecified address (0.0.0.0)';
  if (contains(loopback, ip)) return 'must not be in the loopback range (127.0.0.0/8)';
  if (contains(linkLocal, ip)) return 'must not be in the link-local range (169.254.0.0/16)';
  if (contains(multicast, ip)) return 'must not be in the multicast range (224.0.0.0/4)';
  return undefined;
}
