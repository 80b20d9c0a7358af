// Mocha's spec reporter, which also writes its counts to a file for the summary line.
const { writeFileSync } = require('node:fs');
const { reporters } = require('mocha');

module.exports = class extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const { output } = options.reporterOptions ?? {};
    runner.once('end', () => {
      if (output === undefined) return;
      const { passes, failures, pending } = this.stats;
      writeFileSync(output, JSON.stringify({ passes, failures, pending }));
    });
  }
};
