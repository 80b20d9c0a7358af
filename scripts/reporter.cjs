// Mocha's spec reporter, which also writes its counts and what failed to a file for the summary at the end, and ends the
// process where something that a test left open (a program that runs on, a connection) would keep it alive for good.
const { writeFileSync } = require('node:fs');
const { reporters } = require('mocha');

const openAtMostMs = 15_000;

/** What keeps the process alive, in words: programs by their command, connections by their ends, the rest by kind. */
function whatIsOpen() {
  const handles = process._getActiveHandles().map((handle) => {
    const { spawnargs, pid, remoteAddress, remotePort, localPort } = handle;
    if (spawnargs !== undefined) return `process ${pid}: ${spawnargs.join(' ').slice(0, 300)}`;
    if (remotePort !== undefined) return `connection to ${remoteAddress}:${remotePort}`;
    if (typeof handle.address === 'function')
      return `${handle.constructor.name} at ${JSON.stringify(handle.address())}`;
    return `${handle.constructor.name}${localPort === undefined ? '' : ` at port ${localPort}`}`;
  });
  return [...new Set([...handles, ...process.getActiveResourcesInfo()])];
}

module.exports = class extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const { output } = options.reporterOptions ?? {};
    /** By file, so that one that is run again takes the place of its first run. */
    const files = {};
    const count = (what) => (test) => {
      const counts = (files[test.file ?? ''] ??= { passes: 0, failures: 0, pending: 0 });
      counts[what] += 1;
    };
    runner.on('pass', count('passes')).on('fail', count('failures')).on('pending', count('pending'));
    runner.once('end', () => {
      setTimeout(() => {
        process.stderr.write(`\nleft open by a test:\n  ${whatIsOpen().join('\n  ')}\n`);
        process.exit(); // with what the tests came to
      }, openAtMostMs).unref();
      if (output === undefined) return;
      const failed = this.failures.map((test) => ({
        file: test.file ?? '',
        name: test.fullTitle(),
        cause: String(test.err?.stack ?? test.err?.message ?? test.err),
      }));
      writeFileSync(output, JSON.stringify({ files, failed }));
    });
  }
};
