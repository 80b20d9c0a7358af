import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { ClientAffinity, LeastConnections, RoundRobin } from '../../../services/proxy/userspace/policy/built-in.ts';
import type { Choice, ChoosingPolicy, PolicyBackend } from '../../../services/proxy/userspace/policy/policy.ts';
import { loadPolicies } from '../../../services/proxy/userspace/policy/registry.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const backend = (address: string, active = 0): PolicyBackend => ({
  ...{ address, ip: address, port: 80, active, local: true },
  ...{ nodeName: undefined, hostname: undefined, pod: undefined },
});
const some = (...addresses: readonly string[]): PolicyBackend[] => addresses.map((each) => backend(each));
const anybody: Choice = { client: '10.0.0.1', clientPort: 1 };
const chosen = (policy: ChoosingPolicy, backends: readonly PolicyBackend[], count = 1, what = anybody): string =>
  Array.from({ length: count }, () => {
    const found = policy.choose(what, backends);
    if (found !== undefined) policy.chosen?.(what, found);
    return found?.address;
  }).join(' ');

describe('proxy/policies', () => {
  it('round robin gives each of n backends k of k times n, whatever there was before', () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,3}$/), { minLength: 1, maxLength: 9 });
    fc.assert(
      fc.property(fc.array(names), names, fc.integer({ min: 1, max: 4 }), (before, last, k) => {
        const policy = new RoundRobin();
        for (const each of before) policy.choose(anybody, some(...each.toSorted()));
        const counts = new Map<string, number>();
        for (let i = 0; i < k * last.length; i++) {
          const address = policy.choose(anybody, some(...last.toSorted()))?.address ?? '';
          counts.set(address, (counts.get(address) ?? 0) + 1);
        }
        assert.deepEqual(
          [...counts.values()],
          last.map(() => k),
        );
      }),
    );
  });

  it('round robin goes on behind the last one when others come and go', () => {
    const policy = new RoundRobin();
    assert.equal(chosen(policy, some('a', 'b', 'c'), 2), 'a b');
    assert.equal(chosen(policy, some('a', 'aa', 'c')), 'c');
    assert.equal(chosen(policy, some('a', 'aa', 'c'), 2), 'a aa');
  });

  it('least connections takes the emptiest, equals in turn', () => {
    const policy = new LeastConnections();
    assert.equal(chosen(policy, [backend('a', 2), backend('b', 1), backend('c', 1)], 3), 'b c b');
  });

  it('affinity keeps a client where it was, for its time, and moves it when that is gone', async () => {
    const clock = new FakeClock();
    const policy = new ClientAffinity(60, clock);
    assert.equal(chosen(policy, some('a', 'b'), 3), 'a a a');
    assert.equal(chosen(policy, some('a', 'b'), 2, { client: '10.0.0.2', clientPort: 1 }), 'b b');
    assert.equal(chosen(policy, some('b', 'c'), 2), 'c c');
    await clock.advance(61_000);
    assert.notEqual(chosen(policy, some('b', 'c')), 'c');
  });

  describe('modules', () => {
    const folder = mkdtempSync(join(tmpdir(), 'troupe-policies-'));
    const file = (name: string, text: string): string => {
      const path = join(folder, name);
      writeFileSync(path, text);
      return path;
    };
    after(() => rmSync(folder, { recursive: true, force: true }));

    it('add their policies to those that are built in', async () => {
      const path = file('mine.mjs', 'export const policies = { mine: () => ({ choose: (what, all) => all[0] }) };');
      assert.deepEqual([...(await loadPolicies([path])).keys()], ['round-robin', 'least-connections', 'mine']);
    });

    const refused = [
      { it: 'that are not there', name: 'none.mjs', why: /cannot be loaded/ },
      { it: 'that break', name: 'broken.mjs', text: 'throw new Error("oh");', why: /cannot be loaded: oh/ },
      { it: 'without policies', name: 'empty.mjs', text: 'export default 1;', why: /exports no `policies`/ },
      { it: 'with something else', name: 'odd.mjs', text: 'export const policies = { a: 1 };', why: /not a function/ },
      {
        it: 'with a name that is taken',
        name: 'twice.mjs',
        text: 'export const policies = { "round-robin": () => ({}) };',
        why: /already/,
      },
    ];
    for (const { it: says, name, text, why } of refused)
      it(`are refused ${says}`, async () => {
        const path = text === undefined ? join(folder, name) : file(name, text);
        await assert.rejects(
          loadPolicies([path]),
          (error: Error) => why.test(error.message) && error.message.includes(path),
        );
      });
  });
});
