import fc from 'fast-check';
import type { Strike } from '../../support/kill-point.ts';
import { live } from './steadfast-life.ts';

/** Every point is tried with TROUPE_TEST_LONG=1; otherwise every point for the agent, and some of those for the engine. */
const isLong = (process.env['TROUPE_TEST_LONG'] ?? '') !== '';

type Wish = NonNullable<Parameters<typeof live>[0]> & { readonly warm?: number };

/** F47, F54: whoever dies, whenever, each container runs once, nothing is left behind, and nothing wrong is told. */
describe('node-agent: killed at every step of a pod', function () {
  this.timeout(isLong ? 600_000 : 60_000);

  const pods = {
    'a plain pod': {},
    'a pod of many parts': {
      initContainers: [{ name: 'once-a' }, { name: 'side', restartPolicy: 'Always' }, { name: 'once-b' }],
      containers: [{ name: 'main', readinessProbe: { tcpSocket: { port: 80 } } }, { name: 'second' }],
      volumes: [{ name: 'v', emptyDir: {} }],
    },
    'a pod that somebody looks into': {
      containers: [{ name: 'main' }],
      lookers: [{ name: 'look', targetContainerName: 'main' }, { name: 'once-look' }],
    },
    'a pod on the host network': { hostNetwork: true },
    'a pod in a sandbox made in advance': { warm: 2 },
    'a pod that ends by itself': { restartPolicy: 'Never' as const, containers: [{ name: 'once' }] },
  };
  const whoms = ['agent', 'engine', 'both'] as const;

  for (const [name, { warm = 0, ...spec }] of Object.entries<Wish>(pods)) {
    for (const whom of whoms) {
      it(`${name}: ${whom}`, async () => {
        const { calls } = await live(spec, [], warm);
        for (let call = 1; call <= calls.length; call++) {
          for (const when of ['before', 'after'] as const) {
            if (!isLong && whom !== 'agent' && (call + (when === 'after' ? 1 : 0)) % 4 !== 0) continue;
            try {
              await live(spec, [{ call, when, whom }], warm);
            } catch (error) {
              throw new Error(`struck ${when} call ${call} (${calls[call - 1]}) of ${calls.join(' ')}`, {
                cause: error,
              });
            }
          }
        }
      });
    }
  }

  it('many times, any pod', async () => {
    const anInit = (index: number) =>
      fc.record({ name: fc.constantFrom(`once-${index}`, `side-${index}`) }).map(({ name }) => ({
        name,
        ...(name.startsWith('side') ? { restartPolicy: 'Always' } : {}),
      }));
    const aSpec = fc.record({
      initContainers: fc.nat(2).chain((count) => fc.tuple(...Array.from({ length: count }, (_, i) => anInit(i)))),
      containers: fc
        .integer({ min: 1, max: 3 })
        .map((count) => Array.from({ length: count }, (_, i) => ({ name: `c${i}` }))),
      hostNetwork: fc.boolean(),
      restartPolicy: fc.constantFrom('Always' as const, 'OnFailure' as const, 'Never' as const),
    });
    const aStrike: fc.Arbitrary<Strike> = fc.record({
      call: fc.integer({ min: 1, max: 25 }),
      when: fc.constantFrom('before', 'after'),
      whom: fc.constantFrom(...whoms),
    });
    await fc.assert(
      fc.asyncProperty(aSpec, fc.array(aStrike, { maxLength: 4 }), fc.nat(2), async (spec, strikes, warm) => {
        await live(spec, strikes, warm);
      }),
      { numRuns: isLong ? 2_000 : 30 },
    );
  });
});
