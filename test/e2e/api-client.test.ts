import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { HandStarted } from '../support/hand-started.ts';

interface Ran {
  readonly code: number;
  readonly output: string;
}

/** Runs the example as its README says. */
function runExample(...flags: string[]): Promise<Ran> {
  return new Promise((resolve) => {
    const args = ['--import', 'tsx', 'examples/api-client/main.ts', ...flags];
    execFile(process.execPath, args, { timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : 1, output: stdout + stderr });
    });
  });
}

describe('e2e/api-client: a client made of the .proto files', function () {
  this.timeout(120_000);
  let cluster: HandStarted;
  before(async () => {
    cluster = await HandStarted.start({
      cluster: 'api-client',
      parts: ['nats', 'apiserver', 'replication-controller'],
    });
  });
  after(() => cluster.stop());

  it('manages a workload from creation to deletion', async () => {
    const { code, output } = await runExample('--address', cluster.server, '--replicas', '2');
    assert.equal(code, 0, output);
    assert.match(output, /is serving/);
    assert.match(output, /refused with INVALID_ARGUMENT:\n(?: {2}.*\n)* {2}spec\.replicas: /);
    assert.match(output, /created api-client at revision \d+/);
    assert.match(output, /scaled to 3/);
    assert.match(output, /deleted api-client/);
    const api = cluster.client();
    try {
      assert.equal(await api.get('replicationcontrollers', 'default/api-client'), undefined);
    } finally {
      api.close();
    }
  });

  it('says so when nobody is there', async () => {
    const { code, output } = await runExample('--address', '127.0.0.1:1');
    assert.equal(code, 1);
    assert.match(output, /UNAVAILABLE/);
  });
});
