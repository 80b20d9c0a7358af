import assert from 'node:assert/strict';
import { trace } from '@opentelemetry/api';
import {
  activeTraceparent,
  formatTraceparent,
  inNewTrace,
  newTraceparent,
  parseTraceparent,
  withSpan,
} from '../../../lib/base/trace.ts';

describe('base/trace', () => {
  it('reads what it writes', () => {
    const text = newTraceparent();
    const span = parseTraceparent(text);
    assert.ok(span);
    assert.equal(formatTraceparent(span), text);
  });
  for (const bad of [undefined, '', '00-1-2-01', 'x'.repeat(55), `00-${'G'.repeat(32)}-${'0'.repeat(16)}-01`]) {
    it(`takes ${JSON.stringify(bad)} for no trace`, () => assert.equal(parseTraceparent(bad), undefined));
  }
  it('carries a new trace through asynchronous calls, also where spans are switched off', async () => {
    await inNewTrace(async () => {
      const outer = activeTraceparent();
      assert.ok(outer);
      await new Promise((resolve) => setImmediate(resolve));
      const inner = await withSpan(trace.getTracer('test'), 'work', {}, async () => activeTraceparent());
      assert.equal(parseTraceparent(inner)?.traceId, parseTraceparent(outer)?.traceId);
    });
  });
  it('says nothing of a span without an id', async () => {
    const said = await withSpan(trace.getTracer('test'), 'work', {}, async () => activeTraceparent());
    assert.equal(said, undefined);
  });
});
