import assert from 'node:assert/strict';
import fc from 'fast-check';
import { kindOf } from '../../../examples/redis-split/commands.ts';
import { Cutter, findCommand, findReply, ProtocolError } from '../../../examples/redis-split/resp.ts';

describe('redis-split', () => {
  const bulk = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;

  it('cuts replies where they end, however the bytes arrive', () => {
    const replies = [
      ...[
        '+OK\r\n',
        '-ERR no\r\n',
        ':7\r\n',
        '$-1\r\n',
        '*-1\r\n',
        '_\r\n',
        '#t\r\n',
        ',1.5\r\n',
        '(123\r\n',
        '*0\r\n',
      ],
      ...[bulk('a\r\nb'), bulk(''), `!5\r\nERR x\r\n`, `=7\r\ntxt:abc\r\n`],
      ...[
        `*2\r\n:1\r\n${bulk('two')}`,
        `%1\r\n+k\r\n*1\r\n:1\r\n`,
        `~1\r\n:1\r\n`,
        `>2\r\n+a\r\n+b\r\n`,
        `|1\r\n+k\r\n+v\r\n:5\r\n`,
      ],
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...replies)), fc.array(fc.integer({ min: 1, max: 7 })), (said, sizes) => {
        const cutter = new Cutter();
        const data = Buffer.from(said.join(''));
        const got: string[] = [];
        for (let at = 0, i = 0; at < data.length; i++) {
          const size = sizes[i % Math.max(1, sizes.length)] ?? data.length;
          cutter.add(data.subarray(at, at + size));
          at += size;
          for (let reply; (reply = cutter.next(findReply)) !== undefined;) got.push(reply.toString());
        }
        assert.deepEqual(got, said);
      }),
    );
  });

  it('reads the first words of commands, sent as lists or as lines', () => {
    const cutter = new Cutter();
    const set = `*3\r\n${bulk('set')}${bulk('key')}${bulk('x'.repeat(9_000))}`;
    cutter.add(Buffer.from(`${set}get  key\r\n`));
    const [first, second] = [cutter.next(findCommand), cutter.next(findCommand)];
    assert.deepEqual(first?.words.slice(0, 2), ['SET', 'key']);
    assert.equal(first?.bytes.toString(), set);
    assert.deepEqual(second?.words, ['GET', 'key']);
    assert.equal(cutter.next(findCommand), undefined);
  });

  for (const text of ['*2\r\n:1\r\n', '*x\r\n', '*1\r\n$-1\r\n', `*1\r\n$99999999999\r\n`])
    it(`refuses ${JSON.stringify(text)} as a command`, () => {
      const cutter = new Cutter();
      cutter.add(Buffer.from(text));
      assert.throws(() => cutter.next(findCommand), ProtocolError);
    });

  const kinds: readonly (readonly [string, ReturnType<typeof kindOf>])[] = [
    ...([
      ['GET k', 'read'],
      ['SET k v', 'write'],
      ['GETDEL k', 'write'],
      ['GETEX k', 'write'],
      ['EVAL s', 'write'],
    ] as const),
    ...([
      ['EVAL_RO s', 'read'],
      ['BLPOP k', 'write'],
      ['NEWCOMMAND', 'write'],
      ['SELECT 1', 'session'],
    ] as const),
    ...([
      ['CLIENT setname a', 'session'],
      ['CLIENT list', 'write'],
      ['CLIENT tracking on', 'pin'],
    ] as const),
    ...([
      ['SUBSCRIBE c', 'pin'],
      ['MULTI', 'multi'],
      ['EXEC', 'done'],
      ['WATCH k', 'watch'],
      ['QUIT', 'quit'],
    ] as const),
  ];
  for (const [command, want] of kinds)
    it(`takes ${command} for: ${want}`, () => assert.equal(kindOf(command.split(' ')), want));
});
