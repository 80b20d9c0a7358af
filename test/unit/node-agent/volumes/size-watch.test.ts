import assert from 'node:assert/strict';
import type { EndOrder } from '../../../../node-agent/eviction/pod-ending.ts';
import { limitedVolumes, watchSizes } from '../../../../node-agent/volumes/size-watch.ts';
import { silentLog } from '../../../../lib/base/log.ts';
import { aPod } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const volumes = [
  { name: 'small', emptyDir: { sizeLimit: '1Mi' } },
  { name: 'free', emptyDir: {} },
  { name: 'none', emptyDir: { sizeLimit: '0' } },
  { name: 'memory', emptyDir: { medium: 'Memory' as const, sizeLimit: '1Mi' } },
  { name: 'host', hostPath: { path: '/x' } },
];

describe('node-agent/volumes/size-watch', () => {
  it('looks at emptyDirs on disk that have a limit, of pods that live', () => {
    const limited = { podUid: 'uid-web', name: 'small', limit: '1Mi', limitBytes: 2 ** 20 };
    const pod = aPod({ name: 'web', spec: { volumes } });
    assert.deepEqual(limitedVolumes({ ...pod, metadata: { ...pod.metadata, uid: 'uid-web' } }), [limited]);
    assert.deepEqual(limitedVolumes(aPod({ spec: { volumes }, phase: 'Failed' })), []);
    assert.deepEqual(limitedVolumes(aPod({ spec: { volumes }, deleted: true })), []);
  });

  it('ends a pod that has outgrown its limit, and takes no more than a hundredth of the time', async () => {
    const clock = new FakeClock();
    const stop = new AbortController();
    const orders: (EndOrder & { readonly uid: string })[] = [];
    const looks: number[] = [];
    let bytes: number | undefined = 2 ** 20;
    const over = watchSizes({
      pods: () => [aPod({ spec: { volumes } })],
      usage: async () => {
        looks.push(clock.monotonic());
        if (bytes === undefined) throw new Error('no du here');
        await new Promise<void>((resolve) => void clock.after(1_000, resolve));
        return bytes;
      },
      evict: (uid, order) => orders.push({ uid, ...order }) > 0,
      clock,
      log: silentLog,
      signal: stop.signal,
    });
    await clock.advance(111_500);
    assert.deepEqual(looks, [10_000, 111_000]);
    assert.deepEqual(orders, []);
    bytes = undefined;
    await clock.advance(110_000);
    bytes = 2 ** 20 + 1;
    await clock.advance(30_000);
    assert.deepEqual(
      orders.slice(0, 1).map(({ reason, message }) => [reason, message]),
      [['Evicted', 'Usage of EmptyDir volume "small" exceeds the limit "1Mi".']],
    );
    stop.abort();
    await clock.advance(1_000_000);
    await over;
    assert.equal(clock.pending, 0);
  });
});
