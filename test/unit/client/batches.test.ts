import assert from 'node:assert/strict';
import { ApiError } from '../../../lib/base/errors.ts';
import { newBatches } from '../../../lib/client/batches.ts';
import type { WriteOptions } from '../../../lib/client/client.ts';
import { until } from '../../support/until.ts';

const operation = (name: string) => ({
  ...{ verb: 'create', resource: 'pods', namespace: 'default', name, subresource: '', traceparent: '' },
  json: Buffer.from('{}'),
});
const result = (name: string) => ({ reason: '', message: name, json: Buffer.alloc(0), revision: '1', warnings: [] });

describe('client: batches of single writes', () => {
  /** Calls as they were sent, each to be answered by the test. */
  let calls: { names: string[]; call: WriteOptions; answer: () => void; fail: (error: Error) => void }[];
  const batches = () =>
    newBatches<ReturnType<typeof operation>>(
      (operations, call) =>
        new Promise((resolve, reject) => {
          const names = operations.map((each) => each.name);
          const answer = (): void => {
            resolve(names.map(result));
          };
          calls.push({ names, call, answer, fail: reject });
        }),
    );
  beforeEach(() => {
    calls = [];
  });

  it('sends a lone write at once, and those of one moment together', async () => {
    const single = batches();
    const lone = single.put(operation('a'), {});
    await until(() => calls.length === 1, { what: 'the first call' });
    const many = ['b', 'c', 'd'].map((name) => single.put(operation(name), {}));
    await until(() => calls.length === 2, { what: 'the second call' });
    const late = ['e', 'f'].map((name) => single.put(operation(name), {}));
    calls[0]?.answer();
    assert.equal((await lone).message, 'a');
    await until(() => calls.length === 3, { what: 'the third call, when one is over' });
    calls[1]?.answer();
    calls[2]?.answer();
    const answers = await Promise.all([...many, ...late]);
    assert.deepEqual(
      answers.map((each) => each.message),
      ['b', 'c', 'd', 'e', 'f'],
    );
    assert.deepEqual(
      calls.map((each) => each.names),
      [['a'], ['b', 'c', 'd'], ['e', 'f']],
    );
  });

  it('keeps apart what differs in its options, and what can be given up', async () => {
    const single = batches();
    const options: WriteOptions[] = [
      {},
      { dryRun: true },
      { timeoutMs: 5 },
      { fieldValidation: 'Strict' },
      { signal: new AbortController().signal },
    ];
    const writes = options.map((call) => single.put(operation('a'), call));
    await until(() => calls.length === 5, { what: 'five calls' });
    for (const { answer } of calls) answer();
    await Promise.all(writes);
  });

  it('cuts what is too much for one call', async () => {
    const single = batches();
    const writes = Array.from({ length: 2_500 }, (_, index) => single.put(operation(`p-${index}`), {}));
    for (let index = 0; index < 3; index++) {
      const call = await until(() => calls[index], { what: `call ${index}` });
      call.answer();
    }
    assert.equal((await Promise.all(writes)).at(-1)?.message, 'p-2499');
    assert.deepEqual(
      calls.map((each) => each.names.length),
      [1000, 1000, 500],
    );
  });

  it('fails all writes of a call that fails, and goes on', async () => {
    const single = batches();
    const writes = ['a', 'b'].map((name) => single.put(operation(name), {}));
    await until(() => calls.length === 1, { what: 'the call' });
    calls[0]?.fail(new ApiError('ServiceUnavailable', 'gone'));
    for (const each of writes) await assert.rejects(each, /gone/);
    const next = single.put(operation('c'), {});
    await until(() => calls.length === 2, { what: 'the next call' });
    calls[1]?.answer();
    assert.equal((await next).message, 'c');
  });
});
