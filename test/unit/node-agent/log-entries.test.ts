import assert from 'node:assert/strict';
import fc from 'fast-check';
import { LogEntries, parsePosition, positionText, type LogPosition } from '../../../node-agent/streams/log-entries.ts';

/** As the engine prints it: a line of more than 16 KiB is several entries of one time. */
interface Line {
  readonly time: number;
  readonly text: string;
}
const stamp = (time: number): string => `2026-01-01T00:00:00.${String(time).padStart(9, '0')}Z`;
const entriesOf = ({ time, text }: Line): readonly string[] => {
  const whole = `${text}\n`;
  const parts = Array.from({ length: Math.ceil(whole.length / 16_384) }, (_, at) =>
    whole.slice(at * 16_384, (at + 1) * 16_384),
  );
  return parts.map((part) => `${stamp(time)} ${part}`);
};
/** What the engine prints since a time. */
const printed = (lines: readonly Line[], since = ''): Buffer =>
  Buffer.from(
    lines
      .filter(({ time }) => stamp(time) >= since)
      .flatMap(entriesOf)
      .join(''),
  );

describe('node-agent/streams/log-entries', () => {
  const text = (parts: readonly Uint8Array[]): string => Buffer.concat(parts).toString();

  it('takes off the times, or leaves one at the beginning of each line', () => {
    const lines = [
      { time: 1, text: 'one' },
      { time: 2, text: 'x'.repeat(20_000) },
      { time: 3, text: '' },
    ];
    const bare = new LogEntries(0, false);
    assert.equal(text([bare.push(printed(lines))]), `one\n${'x'.repeat(20_000)}\n\n`);
    assert.deepEqual(bare.position, { attempt: 0, time: stamp(3), count: 1, bytes: 0 });
    const timed = new LogEntries(0, true);
    assert.equal(
      text([timed.push(printed(lines))]),
      `${stamp(1)} one\n${stamp(2)} ${'x'.repeat(20_000)}\n${stamp(3)} \n`,
    );
  });

  it('gives on what has no time as it is', () => {
    const entries = new LogEntries(0, false);
    const odd = `no time here\n${stamp(1)} one\n${'y'.repeat(50)}\n`;
    assert.equal(text([entries.push(Buffer.from(odd))]), `no time here\none\n${'y'.repeat(50)}\n`);
  });

  it('reads its own positions and nothing else', () => {
    const position: LogPosition = { attempt: 3, time: stamp(5), count: 2, bytes: 7 };
    assert.deepEqual(parsePosition(positionText(position)), position);
    assert.deepEqual(parsePosition(`${positionText(position)}+10+1`), { ...position, bytes: 18 });
    assert.deepEqual(parsePosition('0//0+0'), { attempt: 0, time: '', count: 0, bytes: 0 });
    for (const bad of ['', 'x', '1/now/0', `1/${stamp(1)}/x`, `1/${stamp(1)}/1+`, '-1//0']) {
      assert.equal(parsePosition(bad), undefined, bad);
    }
  });

  it('shows all where what was read before is not kept any more', () => {
    const entries = new LogEntries(0, false, { attempt: 0, time: stamp(1), count: 1, bytes: 4 });
    assert.equal(text([entries.push(printed([{ time: 2, text: 'later' }]))]), 'later\n');
  });

  it('loses and doubles nothing, wherever it is cut off and however the output is cut', () => {
    const line = fc.record({
      gap: fc.nat(1),
      text: fc.oneof(fc.string({ maxLength: 20, unit: 'grapheme-ascii' }), fc.constantFrom(16_384, 40_000)),
    });
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 30_000 }), { minLength: 1, maxLength: 8 }),
        fc.array(fc.record({ pieces: fc.nat(4), unheard: fc.nat(1) }), { maxLength: 5 }),
        fc.boolean(),
        (drafts, cuts, breaks, withTimes) => {
          let time = 1;
          const lines = drafts.map(({ gap, text: content }) => ({
            time: (time += gap),
            text: typeof content === 'number' ? 'w'.repeat(content) : content,
          }));
          const want = text([new LogEntries(0, withTimes).push(printed(lines))]);
          let position: LogPosition | undefined;
          let got = '';
          let since = 0;
          for (const { pieces, unheard } of [...breaks, { pieces: Infinity, unheard: 0 }]) {
            const from = position === undefined ? undefined : parsePosition(`${positionText(position)}+${since}`);
            const entries = new LogEntries(0, withTimes, from);
            [position, since] = [entries.position, 0]; // told before anything else
            const source = printed(lines, from?.time);
            for (let at = 0, piece = 0; at < source.length && piece < pieces; piece++) {
              const end = at + (cuts[piece % cuts.length] ?? 1);
              const part = entries.push(source.subarray(at, end));
              got += Buffer.from(part).toString();
              since += part.length;
              at = end;
              // The last position before the break may not have been heard.
              if (piece < pieces - unheard) [position, since] = [entries.position, 0];
            }
          }
          assert.ok(got === want, `${got.length} bytes came, ${want.length} were written`);
        },
      ),
      { numRuns: 500 },
    );
  });
});
