import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';

const isRoot = process.platform === 'linux' && process.getuid?.() === 0;
describe(`node-agent: the pod network on a machine${isRoot ? '' : ' (skipped: it takes Linux and root)'}`, function () {
  this.timeout(60_000);
  const name = `tpn${process.pid}`;
  const ip = (...args: string[]): void => void execFileSync('ip', args);
  before(function () {
    if (!isRoot) this.skip();
    ip('netns', 'add', name);
    ip('-n', name, 'link', 'add', 'link0', 'type', 'veth', 'peer', 'name', 'link1');
    ip('-n', name, 'address', 'add', '192.168.77.1/24', 'dev', 'link0');
    for (const device of ['lo', 'link0', 'link1']) ip('-n', name, 'link', 'set', device, 'up');
  });
  after(() => {
    if (isRoot) ip('netns', 'delete', name);
  });

  it('attaches pods, leads to other nodes, touches nothing of others, and leaves nothing', () => {
    const inside = [`--net=/var/run/netns/${name}`, process.execPath, '--import', 'tsx', 'test/support/veth-check.ts'];
    const { status, stderr } = spawnSync('nsenter', inside, { timeout: 50_000 });
    assert.equal(status, 0, stderr.toString());
  });
});
