import { attribute, attributesOf, flagsOf, hostU32, ipv4, message, nested, readReplies, u32 } from './netlink-bytes.ts';
import { keepBase } from './marks.ts';
import type { Flow, Selection } from './flow.ts';

/**
 * Listing and forgetting entries of connection tracking by the kernel's own messages (linux/netfilter/nfnetlink_conntrack.h). The kernel
 * picks what is asked for while it goes through its list, so that only that is copied; kernels before 5.8 pick less, hence `matches`.
 */

const [get, remove] = [0x101, 0x102]; // NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, _DELETE
const cta = { orig: 1, reply: 2, status: 3, protoInfo: 4, mark: 8, id: 12, markMask: 21, filter: 25, statusMask: 26 };
/** CTA_FILTER_F_CTA_IP_SRC, CTA_FILTER_F_CTA_PROTO_NUM. */
const [byAddress, byProtocol] = [1, 8];
const seenReply = 2; // IPS_SEEN_REPLY
const synSent = 1; // TCP_CONNTRACK_SYN_SENT
/** The marks of flows through us; see marks.ts. */
const ourMask = 0xfe000000;
const numbers = { tcp: 6, udp: 17, sctp: 132 } as const;
const names = new Map<number, Flow['protocol']>([
  [numbers.tcp, 'tcp'],
  [numbers.udp, 'udp'],
  [numbers.sctp, 'sctp'],
]);

/** Asks for all flows that are selected. */
export function listMessage({ ours, protocol, backendIp, unanswered }: Selection): Buffer {
  const parts: Buffer[] = [];
  if (ours === true) parts.push(attribute(cta.mark, u32(keepBase)), attribute(cta.markMask, u32(ourMask)));
  if (unanswered === true) parts.push(attribute(cta.status, u32(0)), attribute(cta.statusMask, u32(seenReply)));
  if (backendIp !== undefined) {
    const ip = attribute(1 | nested, attribute(1, Buffer.from(backendIp.split('.').map(Number))));
    parts.push(attribute(cta.reply | nested, ip));
    parts.push(attribute(cta.filter | nested, attribute(2, hostU32(byAddress))));
  } else if (protocol !== undefined) {
    const number = attribute(2 | nested, attribute(1, Buffer.from([numbers[protocol]])));
    parts.push(attribute(cta.orig | nested, number));
    parts.push(attribute(cta.filter | nested, attribute(1, hostU32(byProtocol))));
  }
  const flags = flagsOf.request | flagsOf.dump;
  return message({ type: get, flags, family: ipv4, sequence: 1 }, Buffer.concat(parts));
}

/** The flows in the kernel's answer. Throws when it refused or its list is not whole. */
export function readFlows(replies: Buffer, selection: Selection): Flow[] {
  const { error, done, bodies } = readReplies(replies);
  if (error !== undefined && error !== 0) throw new Error(`the kernel does not list its flows: error ${error}`);
  if (!done) throw new Error('the kernel did not list all of its flows');
  return bodies.flatMap((body) => flowOf(attributesOf(body)) ?? []).filter((flow) => matches(flow, selection));
}

const matches = (flow: Flow, { ours, protocol, backendIp, unanswered }: Selection): boolean =>
  (ours !== true || flow.isOurs) &&
  (protocol === undefined || flow.protocol === protocol) &&
  (backendIp === undefined || flow.backend.startsWith(`${backendIp}:`)) &&
  (unanswered !== true || !flow.answered);

/** Forgets these flows; the kernel answers those that it could not, because they are gone. Names each by its number, too, lest a new one is hit. */
export function forgetMessages(flows: readonly Flow[]): Buffer {
  const messages = flows.map(({ tuple, id }, i) =>
    message(
      { type: remove, flags: flagsOf.request, family: ipv4, sequence: i + 1 },
      Buffer.concat([attribute(cta.orig | nested, tuple), ...(id === undefined ? [] : [attribute(cta.id, id)])]),
    ),
  );
  return Buffer.concat(messages);
}

function flowOf(parts: ReadonlyMap<number, Buffer>): Flow | undefined {
  const tuple = parts.get(cta.orig);
  const [orig, reply] = [sidesOf(tuple), sidesOf(parts.get(cta.reply))];
  if (tuple === undefined || orig === undefined || reply === undefined) return undefined;
  const tcp = attributesOf(attributesOf(parts.get(cta.protoInfo)).get(1));
  const id = parts.get(cta.id);
  return {
    protocol: orig.protocol,
    client: { ip: orig.source, port: orig.sourcePort },
    address: orig.destination,
    port: orig.destinationPort,
    backend: `${reply.source}:${reply.sourcePort}`,
    opening: orig.protocol === 'tcp' && tcp.get(1)?.[0] === synSent,
    answered: ((parts.get(cta.status)?.readUInt32BE(0) ?? 0) & seenReply) !== 0,
    isOurs: ((parts.get(cta.mark)?.readUInt32BE(0) ?? 0) & ourMask) >>> 0 === keepBase,
    tuple,
    ...(id === undefined ? {} : { id }),
  };
}

interface Sides {
  readonly protocol: Flow['protocol'];
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
}

function sidesOf(tuple: Buffer | undefined): Sides | undefined {
  const parts = attributesOf(tuple);
  const [ip, proto] = [attributesOf(parts.get(1)), attributesOf(parts.get(2))];
  const protocol = names.get(proto.get(1)?.[0] ?? 0);
  const [source, destination, sourcePort, destinationPort] = [ip.get(1), ip.get(2), proto.get(2), proto.get(3)];
  if (protocol === undefined || source?.length !== 4 || destination?.length !== 4) return undefined;
  return {
    protocol,
    source: [...source].join('.'),
    sourcePort: sourcePort?.readUInt16BE(0) ?? 0,
    destination: [...destination].join('.'),
    destinationPort: destinationPort?.readUInt16BE(0) ?? 0,
  };
}
