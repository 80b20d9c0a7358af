import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { whyNoDocker } from '../support/docker-engine.ts';
import { RealNode } from '../support/real-node.ts';

const sleeps = ['sleep', '100000'];

const why = whyNoDocker();
describe(`rights of containers on a real engine${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(60_000);
  let node: RealNode;
  const folder = mkdtempSync(join(tmpdir(), 'troupe-rights-'));
  before(async function () {
    if (why !== undefined) this.skip();
    const seccompDir = join(folder, 'seccomp');
    mkdirSync(seccompDir);
    const noMkdir = { names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' };
    writeFileSync(
      join(seccompDir, 'no-mkdir.json'),
      JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [noMkdir] }),
    );
    node = await RealNode.start(132, { security: { seccompDir, allowedSysctls: ['kernel.msgmax'] } });
  });
  after(async () => {
    await node?.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(async () => {
    if (why !== undefined) return;
    await node.empty();
    assert.deepEqual(node.leftovers(), { routes: '', mounts: [] });
  });

  const status = (field: string): string => `awk '/^${field}:/ { print $2 }' /proc/self/status`;
  const run = async (name: string, spec: object, command: string): Promise<string> => {
    await node.createPod(name, { containers: [{ name: 'main', command: sleeps, ...spec }] });
    await node.untilReady(name);
    return (await node.exec(name, 'main', command)).trim();
  };

  it('run as the user, group and groups that they ask for', async () => {
    await node.createPod('who', {
      securityContext: { runAsUser: 1000, runAsGroup: 2000, fsGroup: 3000, supplementalGroups: [4000] },
      containers: [
        { name: 'main', command: sleeps },
        { name: 'own', command: sleeps, securityContext: { runAsUser: 7 } },
      ],
    });
    await node.untilReady('who');
    const id = 'id -u; id -g; id -G';
    assert.equal(await node.exec('who', 'main', id), '1000\n2000\n2000 3000 4000\n');
    assert.match(await node.exec('who', 'own', id), /^7\n2000\n/);
  });

  it('have the capabilities that they ask for, with or without CAP_', async () => {
    const netAdmin = 12;
    const none = await run('none', { securityContext: { capabilities: { drop: ['ALL'] } } }, status('CapEff'));
    assert.equal(BigInt(`0x${none}`), 0n);
    const only = { capabilities: { drop: ['ALL'], add: ['CAP_NET_ADMIN'] } };
    const one = await run('one', { securityContext: only }, status('CapEff'));
    assert.equal(BigInt(`0x${one}`), 1n << BigInt(netAdmin));
  });

  it("have all of them where they are privileged, as far as this machine's root has them itself", async () => {
    const all = (1n << (BigInt(readFileSync('/proc/sys/kernel/cap_last_cap', 'utf8')) + 1n)) - 1n;
    const own = /^CapEff:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    const privileged = { securityContext: { privileged: true } };
    if (BigInt(`0x${own}`) === all) {
      assert.equal(BigInt(`0x${await run('all', privileged, status('CapEff'))}`), all);
      return;
    }
    await node.createPod('all', { containers: [{ name: 'main', command: sleeps, ...privileged }] });
    await node.untilPod('all', 'says why it does not run', ({ status: { containerStatuses } }) =>
      /unable to apply caps/.test(containerStatuses?.[0]?.state?.waiting?.message ?? ''),
    );
  });

  it('cannot write to their root, gain privileges, or make folders, where that is asked for', async () => {
    await assert.rejects(
      run('read', { securityContext: { readOnlyRootFilesystem: true } }, 'touch /tmp/x'),
      /Read-only/,
    );
    assert.equal(
      await run('gain', { securityContext: { allowPrivilegeEscalation: false } }, status('NoNewPrivs')),
      '1',
    );
    const strict = { seccompProfile: { type: 'Localhost', localhostProfile: 'no-mkdir.json' } };
    await assert.rejects(run('strict', { securityContext: strict }, 'mkdir /tmp/x'), /not permitted/);
    assert.equal(await run('filtered', {}, status('Seccomp')), '2');
    const free = { seccompProfile: { type: 'Unconfined' } };
    assert.equal(await run('free', { securityContext: free }, status('Seccomp')), '0');
    const own = { seccompProfile: { type: 'RuntimeDefault' } };
    assert.equal(await run('own', { securityContext: own }, status('Seccomp')), '2');
    const gone = { seccompProfile: { type: 'Localhost', localhostProfile: 'gone.json' } };
    await node.createPod('gone', { containers: [{ name: 'main', command: sleeps, securityContext: gone }] });
    await node.untilPod('gone', 'says what is missing', ({ status: { containerStatuses } }) =>
      /profile "gone.json" cannot be read/.test(containerStatuses?.[0]?.state?.waiting?.message ?? ''),
    );
  });

  const whyNoAppArmor = existsSync('/sys/kernel/security/apparmor/profiles') ? undefined : 'the kernel has no AppArmor';
  it(`run under the AppArmor profile that they name${whyNoAppArmor === undefined ? '' : ` (skipped: ${whyNoAppArmor})`}`, async function () {
    if (whyNoAppArmor !== undefined) this.skip();
    const profile = 'cat /proc/self/attr/current';
    const free = { appArmorProfile: { type: 'Unconfined' } };
    assert.match(await run('free', { securityContext: free }, profile), /^unconfined/);
    const own = { appArmorProfile: { type: 'RuntimeDefault' } };
    assert.match(await run('own', { securityContext: own }, profile), /^docker-default/);
  });

  it('see all of /proc only where they ask for it', async () => {
    const mounts = 'grep -c " /proc/" /proc/mounts || true';
    assert.notEqual(await run('masked', {}, mounts), '0');
    assert.equal(await run('unmasked', { securityContext: { procMount: 'Unmasked' } }, mounts), '0');
  });

  it("set the kernel's values for their own pod alone", async () => {
    const before = readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8');
    const sysctls = [
      { name: 'net.ipv4.ip_unprivileged_port_start', value: '80' },
      { name: 'net/ipv4/tcp_fin_timeout', value: '17' },
      { name: 'kernel.msgmax', value: '9000' },
    ];
    await node.createPod('tuned', { securityContext: { sysctls } });
    await node.untilReady('tuned');
    const read =
      'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/tcp_fin_timeout /proc/sys/kernel/msgmax';
    assert.equal(await node.exec('tuned', 'main', read), '80\n17\n9000\n');
    assert.equal(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'), before);
  });

  it('take every port of their pod and ping, whoever they run as', async () => {
    await node.createPod('plain', {});
    await node.untilReady('plain');
    const read = 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range';
    assert.equal(await node.exec('plain', 'main', read), '0\n0\t2147483647\n');
  });
});
