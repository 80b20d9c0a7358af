import assert from 'node:assert/strict';
import { memorySize } from '../../../../node-agent/volumes/empty-dir.ts';
import { aContainer, aPod } from '../../../support/builders.ts';

describe('node-agent/volumes/empty-dir', () => {
  const limited = (memory: string) => ({ resources: { limits: { memory }, requests: {} } });
  const mi = 2 ** 20;
  for (const [limits, sizeLimit, want] of [
    [[], undefined, undefined],
    [[], '64Mi', 64 * mi],
    [[], '0', undefined],
    [['32Mi'], undefined, 32 * mi],
    [['32Mi', '16Mi'], undefined, 48 * mi],
    [['32Mi', '16Mi'], '40Mi', 40 * mi],
    [['32Mi', '16Mi'], '50Mi', 48 * mi],
    [['32Mi', undefined], '50Mi', 50 * mi], // one container without a limit leaves the pod without one
  ] as const) {
    it(`has ${want ?? 'no limit'} in memory for containers of ${limits.join(' and ') || 'no limit'}, sizeLimit ${sizeLimit}`, () => {
      const containers = (limits.length === 0 ? [undefined] : limits).map((memory, index) =>
        aContainer({ name: `c${index}`, ...(memory === undefined ? {} : limited(memory)) }),
      );
      const emptyDir = { medium: 'Memory' as const, ...(sizeLimit === undefined ? {} : { sizeLimit }) };
      assert.equal(memorySize(aPod({ spec: { containers } }), { name: 'v', emptyDir }), want);
    });
  }
});
