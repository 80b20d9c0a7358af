import assert from 'node:assert/strict';
import {
  cpuV1,
  cpuV2,
  ioV1,
  ioV2,
  memoryV1,
  memoryV2,
  numberIn,
  type Read,
} from '../../../../node-agent/stats/figures.ts';
import { machineCpu, machineMemory, networkIn, networkSum } from '../../../../node-agent/stats/machine-figures.ts';

const files =
  (given: Readonly<Record<string, string>>): Read =>
  (name) =>
    given[name];

describe('node-agent/stats/figures', () => {
  it('reads the CPU time of v1', () => {
    const cpuacct = files({ 'cpuacct.usage': '1234567890\n', 'cpuacct.stat': 'user 100\nsystem 23\n' });
    const cpu = files({
      'cpu.stat': 'nr_periods 40\nnr_throttled 7\nthrottled_time 350000000\n',
      'cpu.cfs_quota_us': '25000\n',
      'cpu.cfs_period_us': '100000\n',
    });
    assert.deepEqual(cpuV1(cpuacct, cpu), {
      usageNanos: 1_234_567_890,
      userNanos: 1e9,
      systemNanos: 230_000_000,
      periods: 40,
      throttledPeriods: 7,
      throttledNanos: 350_000_000,
      limitMilli: 250,
    });
  });

  it('reads the CPU time of v2', () => {
    const read = files({
      'cpu.stat':
        'usage_usec 2000001\nuser_usec 1500000\nsystem_usec 500001\nnr_periods 4\nnr_throttled 1\nthrottled_usec 9\n',
      'cpu.max': '50000 100000\n',
    });
    assert.deepEqual(cpuV2(read), {
      usageNanos: 2_000_001_000,
      userNanos: 1_500_000_000,
      systemNanos: 500_001_000,
      periods: 4,
      throttledPeriods: 1,
      throttledNanos: 9_000,
      limitMilli: 500,
    });
  });

  it('tells no limit by its absence', () => {
    const noQuota = files({ 'cpu.cfs_quota_us': '-1\n', 'cpu.cfs_period_us': '100000\n' });
    assert.equal(cpuV1(files({ 'cpuacct.usage': '1' }), noQuota)?.limitMilli, undefined);
    assert.equal(cpuV2(files({ 'cpu.stat': 'usage_usec 1', 'cpu.max': 'max 100000\n' }))?.limitMilli, undefined);
    const v1 = files({ 'memory.usage_in_bytes': '5', 'memory.limit_in_bytes': '9223372036854771712\n' });
    assert.deepEqual(memoryV1(v1), { usageBytes: 5, workingSetBytes: 5 });
    assert.deepEqual(memoryV2(files({ 'memory.current': '5', 'memory.max': 'max\n' })), {
      usageBytes: 5,
      workingSetBytes: 5,
    });
  });

  it('reads memory, children included', () => {
    const stat =
      'cache 1\nrss 2\ninactive_file 3\ntotal_cache 4096\ntotal_rss 8192\ntotal_swap 10\ntotal_inactive_file 1000\n';
    const v1 = files({
      'memory.usage_in_bytes': '20000\n',
      'memory.stat': stat,
      'memory.limit_in_bytes': '33554432\n',
      'memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 3\n',
    });
    assert.deepEqual(memoryV1(v1), {
      ...{ usageBytes: 20_000, workingSetBytes: 19_000, rssBytes: 8192, cacheBytes: 4096 },
      ...{ swapBytes: 10, limitBytes: 33_554_432, oomKills: 3 },
    });
    const v2 = files({
      'memory.current': '20000\n',
      'memory.stat': 'anon 8192\nfile 4096\ninactive_file 30000\n',
      'memory.max': '33554432\n',
      'memory.swap.current': '10\n',
      'memory.events': 'low 0\nhigh 0\nmax 5\noom 1\noom_kill 3\n',
    });
    assert.deepEqual(memoryV2(v2), {
      ...{ usageBytes: 20_000, workingSetBytes: 0, rssBytes: 8192, cacheBytes: 4096 },
      ...{ swapBytes: 10, limitBytes: 33_554_432, oomKills: 3 },
    });
  });

  it('reads disks, all devices together', () => {
    const v1 = files({
      'blkio.throttle.io_service_bytes': '8:0 Read 4096\n8:0 Write 100\n8:0 Total 4196\n8:16 Read 4\nTotal 4200\n',
      'blkio.throttle.io_serviced': '8:0 Read 3\n8:0 Write 2\n8:16 Read 1\nTotal 6\n',
    });
    assert.deepEqual(ioV1(v1), { readBytes: 4100, writeBytes: 100, reads: 4, writes: 2 });
    const v2 = files({ 'io.stat': '8:0 rbytes=4096 wbytes=100 rios=3 wios=2 dbytes=0 dios=0\n8:16 rbytes=4 rios=1\n' });
    assert.deepEqual(ioV2(v2), { readBytes: 4100, writeBytes: 100, reads: 4, writes: 2 });
    assert.deepEqual(ioV2(files({ 'io.stat': '' })), { readBytes: 0, writeBytes: 0, reads: 0, writes: 0 });
  });

  it('takes nothing for zero', () => {
    const nothing = files({});
    for (const found of [
      cpuV1(nothing, nothing),
      cpuV2(nothing),
      memoryV1(nothing),
      memoryV2(nothing),
      ioV1(nothing),
      ioV2(nothing),
    ])
      assert.equal(found, undefined);
    assert.equal(numberIn('max'), undefined);
    assert.equal(numberIn(''), undefined);
    assert.equal(machineCpu(''), undefined);
    assert.equal(machineMemory('MemTotal: 5 kB'), undefined);
    assert.equal(networkSum([]), undefined);
  });

  it('reads network devices', () => {
    const devices = networkIn(`Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       1       1    0    0    0     0          0         0        1       1    0    0    0     0       0          0
  eth0:1545737961   55255    1    2    0     0          0         0  6691767   43713    3    4    0     0       0          0
`);
    assert.deepEqual([...devices.keys()], ['lo', 'eth0']);
    assert.deepEqual(devices.get('eth0'), {
      ...{ rxBytes: 1_545_737_961, rxPackets: 55_255, rxErrors: 1, rxDropped: 2 },
      ...{ txBytes: 6_691_767, txPackets: 43_713, txErrors: 3, txDropped: 4 },
    });
    assert.equal(networkSum(devices.values())?.rxBytes, 1_545_737_962);
  });

  it('reads the machine: what was worked, not what was waited for or stolen', () => {
    const cpu = machineCpu('cpu  100 10 50 9999 777 5 5 888 0 0\ncpu0 1 1 1 1\n');
    assert.deepEqual(cpu, { usageNanos: 1.7e9, userNanos: 1.1e9, systemNanos: 0.6e9 });
    assert.deepEqual(machineMemory('MemTotal:       1000 kB\nMemFree: 10 kB\nMemAvailable:    400 kB\n'), {
      ...{ totalBytes: 1_024_000, availableBytes: 409_600, workingSetBytes: 614_400 },
    });
  });
});
