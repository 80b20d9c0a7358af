import { contains, formatCidr, formatIp, overlaps, parseCidr, parseIp, type Cidr } from '../../../lib/api/net.ts';

/** Who may connect: addresses and blocks in their plain form, sorted, none inside another. Empty: nobody. */
export type Sources = readonly string[];

/** The plain form of any list of addresses and blocks. What is neither is left out, which lets nobody in. */
export function sourcesOf(texts: Iterable<string>): Sources {
  return plain([...texts].flatMap((text) => blockOf(text.trim()) ?? []));
}

/** Those who are in both. */
export function intersect(a: Sources, b: Sources): Sources {
  const [wide, narrow] = [blocksOf(a), blocksOf(b)];
  return plain(wide.flatMap((x) => narrow.filter((y) => overlaps(x, y)).map((y): Cidr => (x.bits >= y.bits ? x : y))));
}

/** Those who are in any. */
export const union = (lists: readonly Sources[]): Sources =>
  lists.length === 1 && lists[0] !== undefined ? lists[0] : plain(lists.flatMap(blocksOf));

/** What two lists have alike that admit the same: plain addresses as they are, and the fewest blocks where there are blocks. */
export function fewestBlocks(sources: Sources): Sources {
  const plainForm = sourcesOf(sources);
  if (!plainForm.some((each) => each.includes('/'))) return plainForm;
  const merged: { from: number; to: number }[] = [];
  for (const { base, bits } of blocksOf(plainForm)) {
    const last = merged.at(-1);
    const to = base + 2 ** (32 - bits) - 1;
    if (last !== undefined && last.to + 1 === base) last.to = to;
    else merged.push({ from: base, to });
  }
  return merged.flatMap(({ from, to }) => blocksBetween(from, to)).map(formatBlock);
}

/** The fewest blocks that make up a range. */
export function blocksBetween(from: number, to: number): Cidr[] {
  const blocks: Cidr[] = [];
  for (let at = from; at <= to;) {
    let bits = 32;
    while (bits > 0 && at % 2 ** (33 - bits) === 0 && at + 2 ** (33 - bits) - 1 <= to) bits--;
    blocks.push({ base: at, bits });
    at += 2 ** (32 - bits);
  }
  return blocks;
}

export const formatBlock = (block: Cidr): string => (block.bits === 32 ? formatIp(block.base) : formatCidr(block));

export const sameSources = (a: Sources | undefined, b: Sources | undefined): boolean =>
  a === b || (a !== undefined && b?.length === a.length && a.every((each, i) => each === b[i]));

/** Answers for single addresses without trying each entry. Absent sources admit everybody. */
export function admitting(sources: Sources | undefined): (ip: string) => boolean {
  if (sources === undefined) return () => true;
  const single = new Set(sources);
  const blocks = sources.filter((each) => each.includes('/')).flatMap((each) => parseCidr(each) ?? []);
  return (ip) => {
    if (single.has(ip)) return true;
    const number = blocks.length === 0 ? undefined : parseIp(ip);
    return number !== undefined && blocks.some((block) => contains(block, number));
  };
}

function blockOf(text: string): Cidr | undefined {
  const ip = parseIp(text);
  return ip === undefined ? parseCidr(text) : { base: ip, bits: 32 };
}
const blocksOf = (sources: Sources): Cidr[] => sources.flatMap((text) => blockOf(text) ?? []);

/** Sorted by address, wide before narrow, so that whatever is inside another follows it. */
function plain(blocks: readonly Cidr[]): Sources {
  const kept: Cidr[] = [];
  for (const block of blocks.toSorted((a, b) => a.base - b.base || a.bits - b.bits)) {
    const last = kept.at(-1);
    if (last === undefined || !contains(last, block.base)) kept.push(block);
  }
  return kept.map(formatBlock);
}
