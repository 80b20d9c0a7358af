import assert from 'node:assert/strict';
import { ConfigError, HelpRequested, listOf, oneOf, parseConfig } from '../../../lib/base/config.ts';

const table = {
  listen: { flag: '--listen', env: 'T_LISTEN', default: '127.0.0.1:1', help: 'where to listen' },
  graceMs: { flag: '--grace', env: 'T_GRACE', default: 50, unit: 'ms', help: 'how long to wait' },
  elect: { flag: '--elect', env: 'T_ELECT', default: true, help: 'elect a leader' },
  mode: { flag: '--mode', env: 'T_MODE', default: 'auto' as const, parse: oneOf('auto', 'manual'), help: 'how' },
  peers: { flag: '--peers', env: 'T_PEERS', default: [] as readonly string[], parse: listOf, help: 'who' },
} as const;
const parse = (argv: string[], env: Record<string, string> = {}) => parseConfig('thing', table, argv, env);

describe('base/config', () => {
  it('gives the defaults when nothing is said', () => {
    assert.deepEqual(parse([]), { listen: '127.0.0.1:1', graceMs: 50, elect: true, mode: 'auto', peers: [] });
  });

  it('lets the flag win over the variable and the variable over the default', () => {
    assert.equal(parse([], { T_GRACE: '7' }).graceMs, 7);
    assert.equal(parse(['--grace', '8'], { T_GRACE: '7' }).graceMs, 8);
    assert.equal(parse([], { T_GRACE: '' }).graceMs, 50);
  });

  const forms = [
    { it: 'a switch', argv: ['--elect'], want: { elect: true } },
    { it: 'a switch turned off', argv: ['--no-elect'], want: { elect: false } },
    { it: 'a switch with a value', argv: ['--elect=false'], want: { elect: false } },
    { it: 'a value after an equals sign', argv: ['--listen=h:2'], want: { listen: 'h:2' } },
    { it: 'a list', argv: ['--peers', 'a, b,'], want: { peers: ['a', 'b'] } },
    { it: 'one of a few words', argv: ['--mode', 'manual'], want: { mode: 'manual' } },
  ];
  for (const form of forms) {
    it(`reads ${form.it}`, () => assert.deepEqual({ ...parse(form.argv), ...form.want }, parse(form.argv)));
  }

  const mistakes = [
    { it: 'an unknown flag', argv: ['--lisen', 'x'], says: /unknown option "--lisen"; thing --help/ },
    { it: 'a flag without its value', argv: ['--listen'], says: /--listen wants a value: where to listen/ },
    { it: 'a number that is none', argv: ['--grace', 'soon'], says: /--grace: "soon" is not valid: must be a number/ },
    { it: 'a word outside the few', argv: ['--mode', 'x'], says: /must be one of auto, manual/ },
  ];
  for (const mistake of mistakes) {
    it(`names ${mistake.it}`, () =>
      assert.throws(
        () => parse(mistake.argv),
        (error: Error) => error instanceof ConfigError && mistake.says.test(error.message),
      ));
  }
  it('names the variable when the bad value came from there', () => {
    assert.throws(() => parse([], { T_GRACE: 'x' }), /T_GRACE: "x"/);
  });

  it('explains every option on --help', () => {
    assert.throws(
      () => parse(['--help']),
      (error: Error) => {
        assert.ok(error instanceof HelpRequested);
        for (const option of Object.values(table))
          assert.ok(
            error.message.includes(option.flag) &&
              error.message.includes(option.env) &&
              error.message.includes(option.help),
          );
        return true;
      },
    );
  });
});
