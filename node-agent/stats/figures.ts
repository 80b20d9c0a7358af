/**
 * What the kernel's files say, as plain numbers: pure functions of the text of the files. A file that is absent (another
 * kernel, a controller that is off) leaves its figures undefined; nothing is ever taken for zero.
 */

export interface CpuFigures {
  readonly usageNanos: number;
  readonly userNanos?: number;
  readonly systemNanos?: number;
  /** Periods of the quota (100 ms each), and those in which the container was held back. */
  readonly periods?: number;
  readonly throttledPeriods?: number;
  readonly throttledNanos?: number;
  /** Thousandths of a CPU; absent: no limit. */
  readonly limitMilli?: number;
}

export interface MemoryFigures {
  /** Everything that is charged, file cache included. */
  readonly usageBytes: number;
  /** Usage without the file cache that could be dropped at once: what counts towards being killed. */
  readonly workingSetBytes: number;
  readonly rssBytes?: number;
  readonly cacheBytes?: number;
  readonly swapBytes?: number;
  /** Absent: no limit. */
  readonly limitBytes?: number;
  /** Processes of the container that the kernel killed for want of memory. */
  readonly oomKills?: number;
}

export interface IoFigures {
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly reads: number;
  readonly writes: number;
}

/** The text of a file by its name; undefined where it is absent. */
export type Read = (file: string) => string | undefined;

const nanosPerTick = 10_000_000; // USER_HZ is 100 on every Linux
const nanosPerMicro = 1_000;
/** v1 writes "no limit" as the largest multiple of a page: anything near it is none. */
const noLimitBytes = 2 ** 62;

/** v1: `cpuacct` and `cpu` are two controllers, which may lie in two places. */
export function cpuV1(cpuacct: Read, cpu: Read): CpuFigures | undefined {
  const usageNanos = numberIn(cpuacct('cpuacct.usage'));
  if (usageNanos === undefined) return undefined;
  const ticks = pairsIn(cpuacct('cpuacct.stat'));
  const stat = pairsIn(cpu('cpu.stat'));
  const quota = numberIn(cpu('cpu.cfs_quota_us'));
  const period = numberIn(cpu('cpu.cfs_period_us'));
  return given({
    usageNanos,
    userNanos: times(ticks.get('user'), nanosPerTick),
    systemNanos: times(ticks.get('system'), nanosPerTick),
    periods: stat.get('nr_periods'),
    throttledPeriods: stat.get('nr_throttled'),
    throttledNanos: stat.get('throttled_time'),
    limitMilli: limitOf(quota, period),
  });
}

export function cpuV2(read: Read): CpuFigures | undefined {
  const stat = pairsIn(read('cpu.stat'));
  const usageNanos = times(stat.get('usage_usec'), nanosPerMicro);
  if (usageNanos === undefined) return undefined;
  const [quota, period] = (read('cpu.max') ?? '').trim().split(' ').map(Number);
  return given({
    usageNanos,
    userNanos: times(stat.get('user_usec'), nanosPerMicro),
    systemNanos: times(stat.get('system_usec'), nanosPerMicro),
    periods: stat.get('nr_periods'),
    throttledPeriods: stat.get('nr_throttled'),
    throttledNanos: times(stat.get('throttled_usec'), nanosPerMicro),
    limitMilli: limitOf(quota, period),
  });
}

export function memoryV1(read: Read): MemoryFigures | undefined {
  const usageBytes = numberIn(read('memory.usage_in_bytes'));
  if (usageBytes === undefined) return undefined;
  const stat = pairsIn(read('memory.stat'));
  const total = (name: string): number | undefined => stat.get(`total_${name}`) ?? stat.get(name);
  const limit = numberIn(read('memory.limit_in_bytes'));
  return given({
    usageBytes,
    workingSetBytes: Math.max(0, usageBytes - (total('inactive_file') ?? 0)),
    rssBytes: total('rss'),
    cacheBytes: total('cache'),
    swapBytes: total('swap'),
    limitBytes: limit === undefined || limit >= noLimitBytes ? undefined : limit,
    oomKills: pairsIn(read('memory.oom_control')).get('oom_kill'),
  });
}

export function memoryV2(read: Read): MemoryFigures | undefined {
  const usageBytes = numberIn(read('memory.current'));
  if (usageBytes === undefined) return undefined;
  const stat = pairsIn(read('memory.stat'));
  return given({
    usageBytes,
    workingSetBytes: Math.max(0, usageBytes - (stat.get('inactive_file') ?? 0)),
    rssBytes: stat.get('anon'),
    cacheBytes: stat.get('file'),
    swapBytes: numberIn(read('memory.swap.current')),
    limitBytes: numberIn(read('memory.max')), // "max" is no number
    oomKills: pairsIn(read('memory.events')).get('oom_kill'),
  });
}

/** v1: a line a device and operation, `8:0 Read 4096`; a `Total` at the end. */
export function ioV1(read: Read): IoFigures | undefined {
  const bytes = read('blkio.throttle.io_service_bytes');
  if (bytes === undefined) return undefined;
  const counts = read('blkio.throttle.io_serviced') ?? '';
  const sum = (text: string, operation: string): number =>
    text
      .split('\n')
      .map((line) => line.split(' '))
      .reduce((total, [, name, value]) => (name === operation ? total + Number(value) : total), 0);
  return {
    readBytes: sum(bytes, 'Read'),
    writeBytes: sum(bytes, 'Write'),
    reads: sum(counts, 'Read'),
    writes: sum(counts, 'Write'),
  };
}

/** v2: a line a device, `8:0 rbytes=4096 wbytes=0 rios=1 wios=0`. */
export function ioV2(read: Read): IoFigures | undefined {
  const text = read('io.stat');
  if (text === undefined) return undefined;
  const sum = (name: string): number =>
    [...text.matchAll(new RegExp(`\\b${name}=(\\d+)`, 'g'))].reduce((total, [, value]) => total + Number(value), 0);
  return { readBytes: sum('rbytes'), writeBytes: sum('wbytes'), reads: sum('rios'), writes: sum('wios') };
}

/** A file of one number. Undefined for anything else, such as `max`. */
export function numberIn(text: string | undefined): number | undefined {
  if (text === undefined || !/^-?\d+\s*$/.test(text)) return undefined;
  return Number(text);
}

/** A file of `name value` lines. */
export function pairsIn(text: string | undefined): ReadonlyMap<string, number> {
  const pairs = new Map<string, number>();
  for (const line of (text ?? '').split('\n')) {
    const blank = line.indexOf(' ');
    const value = Number(line.slice(blank + 1));
    if (blank > 0 && Number.isFinite(value)) pairs.set(line.slice(0, blank), value);
  }
  return pairs;
}

const times = (value: number | undefined, factor: number): number | undefined =>
  value === undefined ? undefined : value * factor;

function limitOf(quotaMicros: number | undefined, periodMicros: number | undefined): number | undefined {
  if (quotaMicros === undefined || periodMicros === undefined) return undefined;
  return quotaMicros > 0 && periodMicros > 0 ? Math.round((quotaMicros / periodMicros) * 1000) : undefined;
}

type Given<T> = { readonly [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  readonly [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};
/** Without what is undefined. */
export const given = <T extends object>(figures: T): Given<T> =>
  Object.fromEntries(Object.entries(figures).filter(([, value]) => value !== undefined)) as Given<T>;
