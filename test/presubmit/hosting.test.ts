import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { configOf, hostedOptions, managerOptions } from '../../services/controller-manager/config.ts';
import { allHosted } from '../../services/controller-manager/loops.ts';
import { parseConfig } from '../../lib/base/config.ts';
import { controllerOptions } from '../../lib/controller/service.ts';

describe('presubmit/hosting', () => {
  it('the controller-manager runs every controller but the load-balancer-controller', () => {
    const folders = readdirSync('services').filter((name) => existsSync(`services/${name}/setup.ts`));
    assert.deepEqual(
      allHosted.map(({ name }) => name),
      folders.filter((name) => name !== 'load-balancer-controller'),
    );
  });

  it('no two controllers share an environment variable, so that each keeps its own options', () => {
    const all = Object.values({ ...hostedOptions, ...managerOptions, ...controllerOptions });
    const variables = all.map(({ env }) => env);
    assert.deepEqual(
      variables.filter((name, i) => variables.indexOf(name) !== i),
      [],
    );
  });

  it('hands each controller its own options, by flag and by variable', () => {
    const argv = ['--job-controller-burst', '7', '--controllers', 'job-controller,scheduler'];
    const env = { TROUPE_REPLICATION_BURST: '9' };
    const config = parseConfig('controller-manager', { ...hostedOptions, ...managerOptions }, argv, env);
    const burst = Object.fromEntries(allHosted.map((each) => [each.name, configOf(each, config)['burst']]));
    assert.deepEqual([burst['job-controller'], burst['replication-controller'], burst['scheduler']], [7, 9, undefined]);
    assert.deepEqual(config.controllers, ['job-controller', 'scheduler']);
    assert.throws(() => parseConfig('m', managerOptions, ['--controllers', 'job'], {}), /"job" is none of autoscaler/);
  });
});
