import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';

const program = (body: string): string => `
  import { runService } from './lib/base/lifecycle.ts';
  runService('thing', {}, async (ctx) => { ${body} });
`;

describe('base/lifecycle', function () {
  this.timeout(20_000);
  let child: ChildProcess | undefined;
  afterEach(() => child?.kill('SIGKILL'));

  function run(
    body: string,
    args: string[] = [],
  ): { output: () => string; said: (text: string) => Promise<void>; exit: Promise<number | null> } {
    const started = spawn(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', program(body), 'thing', ...args],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    child = started;
    let text = '';
    const collect = (chunk: Buffer): void => void (text += chunk.toString());
    started.stdout.on('data', collect);
    started.stderr.on('data', collect);
    const said = async (wanted: string): Promise<void> => {
      while (!text.includes(wanted))
        await Promise.race([
          once(started.stdout, 'data'),
          once(started.stderr, 'data'),
          once(started, 'exit').then(() => {
            if (!text.includes(wanted)) throw new Error(`ended without saying ${wanted}: ${text}`);
          }),
        ]);
    };
    return { output: () => text, said, exit: once(started, 'close').then(([code]) => code as number | null) };
  }

  it('releases in reverse order on the first signal and ends with 0', async () => {
    const { said, exit, output } = run(`
      const alive = setInterval(() => {}, 1000);
      ctx.onStop('first', () => { console.log('released first'); clearInterval(alive); });
      ctx.onStop('second', () => console.log('released second'));
    `);
    await said('"started"');
    child?.kill('SIGTERM');
    assert.equal(await exit, 0);
    assert.ok(output().indexOf('released second') < output().indexOf('released first'));
  });

  it('stays though nothing holds it, as when all it talks to is away', async () => {
    // A timer that holds nothing fires only in a process that something else has kept.
    const afterTheStart = `setTimeout(() => setTimeout(() => console.log('is still there'), 200).unref(), 0);`;
    const { said, exit } = run(afterTheStart, ['--telemetry', '']);
    await said('is still there');
    child?.kill('SIGTERM');
    assert.equal(await exit, 0);
  });

  it('ends by itself where there was one thing to do, and releases', async () => {
    const { exit, output } = run(`ctx.onStop('it', () => console.log('released it')); ctx.done();`);
    assert.equal(await exit, 0);
    assert.match(output(), /released it/);
    assert.doesNotMatch(output(), /"started"/);
  });

  it('ends with 1 at once on the second signal', async () => {
    const { said, exit } = run(`
      setInterval(() => {}, 1000);
      ctx.onStop('stuck', () => new Promise(() => console.log('holding on')));
    `);
    await said('"started"');
    child?.kill('SIGTERM');
    await said('holding on');
    child?.kill('SIGTERM');
    assert.equal(await exit, 1);
  });

  it('says in one sentence why it could not start', async () => {
    const { exit, output } = run(`throw new Error('the data folder is in use');`);
    assert.equal(await exit, 1);
    assert.match(output(), /thing: the data folder is in use/);
  });

  it('ends with 2 and names a wrong option', async () => {
    const { exit, output } = run('', ['--lisen=1']);
    assert.equal(await exit, 2);
    assert.match(output(), /unknown option "--lisen=1"/);
  });

  it('serves metrics, liveness and readiness with reasons', async () => {
    const { said, output } = run(`
      setInterval(() => {}, 1000);
      ctx.telemetry.meter.createCounter('troupe_things_total').add(3);
      ctx.telemetry.ready('view', () => 'waiting for the first snapshot');
    `);
    await said('"started"');
    const address = /"telemetry":"([^"]+)"/.exec(output())?.[1] ?? '';
    assert.deepEqual(await ask(address, '/healthz'), [200, 'ok\n']);
    assert.deepEqual(await ask(address, '/readyz'), [503, 'view: waiting for the first snapshot\n']);
    assert.match((await ask(address, '/metrics'))[1], /troupe_things_total\S* 3/);
    assert.match((await ask(address, '/metrics'))[1], /process_resident_memory_bytes/);
  });
});

function ask(address: string, path: string): Promise<[number, string]> {
  return new Promise((resolve, reject) => {
    get(`http://${address}${path}`, (answer) => {
      let text = '';
      answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
      answer.on('end', () => {
        resolve([answer.statusCode ?? 0, text]);
      });
    }).on('error', reject);
  });
}
