import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseManifests, readSources } from '../../../cli/manifest.ts';
import type { Shell } from '../../../cli/shell.ts';
import { parseReply, type Reply } from '../../../examples/guestbook/frontend/resp.ts';
import { renderPage } from '../../../examples/guestbook/frontend/page.ts';
import { checkFields } from '../../../lib/api/codec/fields.ts';
import { applyDefaults } from '../../../lib/api/defaults/index.ts';
import { copyJson, type MutableJson } from '../../../lib/api/json.ts';
import { isCustom } from '../../../lib/api/kinds.ts';
import { validateCreate } from '../../../lib/api/validation/index.ts';

describe('examples/guestbook', () => {
  it('has manifests without an unknown field or a broken rule', async () => {
    const sources = await readSources(['examples/guestbook'], false, {} as Shell);
    const items = parseManifests(sources, 'default');
    assert.equal(items.length, 6);
    for (const { resource, object, place } of items) {
      assert.ok(!isCustom(resource));
      assert.deepEqual(checkFields(String(object['kind']), object), { unknown: [], causes: [] }, place);
      const draft = copyJson(object) as MutableJson;
      draft['metadata'] = { ...(draft['metadata'] as object), namespace: 'default' };
      applyDefaults(resource, draft);
      assert.deepEqual(validateCreate(resource, draft), [], place);
    }
  });

  it('shows what people write as text, never as markup', () => {
    const page = renderPage({ entries: ['<script>alert("x")</script>'], servedBy: 'a&b' });
    assert.ok(page.includes('<li>&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;</li>'));
    assert.ok(page.includes('<strong>a&amp;b</strong>'));
  });

  const reply = fc.letrec<{ any: Reply }>((tie) => ({
    any: fc.oneof(
      { maxDepth: 3 },
      fc.string(),
      fc.integer(),
      fc.constant(null),
      fc.array(tie('any'), { maxLength: 4 }),
    ),
  })).any;
  const encode = (value: Reply): string => {
    if (value === null) return '$-1\r\n';
    if (typeof value === 'number') return `:${value}\r\n`;
    if (typeof value === 'string') return `$${Buffer.byteLength(value)}\r\n${value}\r\n`;
    return `*${value.length}\r\n${value.map(encode).join('')}`;
  };

  it('reads every answer of Redis, and waits for the rest of one that is not all there', () => {
    fc.assert(
      fc.property(reply, fc.nat(), (value, cut) => {
        const data = Buffer.from(encode(value));
        assert.deepEqual(parseReply(data, 0), { reply: value, end: data.length });
        assert.equal(parseReply(data.subarray(0, cut % data.length), 0), undefined);
      }),
    );
    assert.deepEqual(parseReply(Buffer.from('-ERR no such command\r\n'), 0)?.reply, new Error('ERR no such command'));
  });
});
