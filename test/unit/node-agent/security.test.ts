import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PodSecurityContext, PodSpec, SecurityContext } from '../../../lib/api/objects.ts';
import { invalidImageName } from '../../../node-agent/image-name.ts';
import { createOptions } from '../../../node-agent/runtime/docker-options.ts';
import { newFakeRuntime } from '../../../node-agent/runtime/fake-runtime.ts';
import { asksForImageUser, containerSecurity, securityOf } from '../../../node-agent/security/container-security.ts';
import { refusedSysctl } from '../../../node-agent/security/sysctls.ts';
import { aContainer, aPod } from '../../support/builders.ts';

const podWith = (securityContext: PodSecurityContext, spec: Partial<PodSpec> = {}) =>
  aPod({ spec: { securityContext, ...spec } });
const plain = { privileged: false, readOnlyRoot: false, noNewPrivileges: false };

describe('node-agent/security', () => {
  const cases: readonly {
    readonly it: string;
    readonly pod?: PodSecurityContext;
    readonly own?: SecurityContext;
    readonly imageUser?: string;
    readonly want: object;
  }[] = [
    { it: 'leaves the user to the image', want: {} },
    { it: 'takes the user of the pod', pod: { runAsUser: 1000 }, want: { user: '1000' } },
    { it: 'prefers its own', pod: { runAsUser: 1000 }, own: { runAsUser: 7 }, want: { user: '7' } },
    { it: 'takes user and group', pod: { runAsUser: 1, runAsGroup: 2 }, want: { user: '1:2' } },
    {
      it: 'keeps the user of the image with another group',
      own: { runAsGroup: 5 },
      imageUser: 'www:www',
      want: { user: 'www:5' },
    },
    { it: 'is root with another group where the image says nothing', own: { runAsGroup: 5 }, want: { user: '0:5' } },
    { it: 'joins groups', pod: { supplementalGroups: [3, 4], fsGroup: 9 }, want: { groups: ['3', '4', '9'] } },
    {
      it: 'spells capabilities in one way',
      own: { capabilities: { add: ['CAP_NET_ADMIN', 'sys_time'], drop: ['ALL'] } },
      want: { capAdd: ['NET_ADMIN', 'SYS_TIME'], capDrop: ['ALL'] },
    },
    { it: 'forbids new privileges', own: { allowPrivilegeEscalation: false }, want: { noNewPrivileges: true } },
    { it: 'shows all of /proc', own: { procMount: 'Unmasked' }, want: { unmaskedProc: true } },
    {
      it: 'takes an AppArmor profile',
      pod: { appArmorProfile: { type: 'Localhost', localhostProfile: 'web' } },
      want: { appArmor: 'web' },
    },
    { it: 'goes without AppArmor', own: { appArmorProfile: { type: 'Unconfined' } }, want: { appArmor: 'unconfined' } },
    { it: 'runs a numeric user as non-root', pod: { runAsNonRoot: true }, imageUser: '1000:1000', want: {} },
    {
      it: 'lets a container overrule runAsNonRoot',
      pod: { runAsNonRoot: true },
      own: { runAsNonRoot: false },
      want: {},
    },
  ];
  for (const { it: what, pod = {}, own, imageUser, want } of cases) {
    it(what, () => {
      const container = aContainer(own === undefined ? {} : { securityContext: own });
      const found = imageUser === undefined ? {} : { imageUser };
      assert.deepEqual(containerSecurity(podWith(pod), container, found), { ...plain, ...want });
    });
  }

  const roots: readonly (readonly [SecurityContext, string, RegExp])[] = [
    [{ runAsNonRoot: true }, '', /image will run as root/],
    [{ runAsNonRoot: true }, 'root', /image will run as root/],
    [{ runAsNonRoot: true }, '0:5', /image will run as root/],
    [{ runAsNonRoot: true }, 'www', /non-numeric user \(www\)/],
    [{ runAsNonRoot: true, runAsUser: 0 }, '1000', /runAsUser breaks non-root policy/],
  ];
  for (const [own, imageUser, message] of roots) {
    it(`refuses ${JSON.stringify(own)} with an image for "${imageUser}"`, () => {
      const container = aContainer({ securityContext: own });
      assert.throws(() => containerSecurity(podWith({}), container, { imageUser }), message);
    });
  }

  it('looks at the image only where its user matters', () => {
    assert.equal(asksForImageUser(podWith({}), aContainer()), false);
    assert.equal(asksForImageUser(podWith({ runAsNonRoot: true, runAsUser: 5 }), aContainer()), false);
    assert.equal(asksForImageUser(podWith({ runAsNonRoot: true }), aContainer()), true);
    assert.equal(asksForImageUser(podWith({ runAsGroup: 5 }), aContainer()), true);
  });

  it('reads seccomp profiles from its folder alone', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'troupe-seccomp-'));
    try {
      writeFileSync(join(folder, 'strict.json'), '{ "defaultAction": "SCMP_ACT_ERRNO" }');
      writeFileSync(join(folder, 'broken.json'), '{');
      const parts = { runtime: newFakeRuntime(), security: { seccompDir: folder, allowedSysctls: [] } };
      const ask = (localhostProfile: string) =>
        securityOf(parts, podWith({ seccompProfile: { type: 'Localhost', localhostProfile } }), aContainer());
      assert.equal((await ask('strict.json')).seccomp, '{"defaultAction":"SCMP_ACT_ERRNO"}');
      await assert.rejects(ask('broken.json'), /not valid JSON/);
      await assert.rejects(ask('absent.json'), /cannot be read on this node/);
      await assert.rejects(ask('../etc/passwd'), /is not one of this node's/);
      const off = await securityOf(parts, podWith({ seccompProfile: { type: 'Unconfined' } }), aContainer());
      assert.equal(off.seccomp, 'unconfined');
      assert.equal((await securityOf(parts, podWith({}), aContainer())).seccomp, undefined);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('asks the engine for it', () => {
    const context = { labels: {}, ownInfraImage: 'infra', mayLowerOomScore: true };
    const spec = { name: 'n', image: 'i', labels: {}, env: [], mounts: [], sandboxId: 's' };
    const wish = { ...spec, seccomp: '{}', appArmor: 'web', noNewPrivileges: true, unmaskedProc: true, user: '1:2' };
    const { HostConfig, User } = createOptions(wish, context);
    assert.deepEqual(HostConfig?.SecurityOpt, ['no-new-privileges', 'seccomp={}', 'apparmor=web']);
    assert.deepEqual([HostConfig.MaskedPaths, HostConfig.ReadonlyPaths, User], [[], [], '1:2']);
    assert.equal(createOptions(spec, context).HostConfig?.SecurityOpt, undefined);
  });
});

describe('node-agent/security: sysctls', () => {
  const asking = (name: string, spec: Partial<PodSpec> = {}, allowed: readonly string[] = []): string | undefined =>
    refusedSysctl(podWith({ sysctls: [{ name, value: '1' }] }, spec), allowed);
  it('lets every pod set the safe ones of its own namespaces', () => {
    assert.equal(asking('net.ipv4.ip_unprivileged_port_start'), undefined);
    assert.equal(asking('net/ipv4/tcp_syncookies'), undefined);
    assert.equal(asking('kernel.shm_rmid_forced'), undefined);
  });
  it('lets others be set where the node allows it, by name or beginning', () => {
    assert.match(asking('net.core.somaxconn') ?? '', /not among those that this node allows/);
    assert.equal(asking('net.core.somaxconn', {}, ['net.core.*']), undefined);
    assert.equal(asking('kernel.msgmax', {}, ['kernel.msgmax']), undefined);
  });
  it('never touches the node', () => {
    assert.match(asking('vm.swappiness', {}, ['*']) ?? '', /belongs to the whole node/);
    assert.match(asking('net.ipv4.tcp_rmem', { hostNetwork: true }) ?? '', /has hostNetwork/);
    assert.match(asking('kernel.shm_rmid_forced', { hostIPC: true }) ?? '', /has hostIPC/);
  });
});

describe('node-agent/image names', () => {
  for (const name of [
    'a',
    'web:1',
    'localhost:1/absent:1',
    'reg.example.com/a/b-c_d:V1.2',
    `a@sha256:${'0'.repeat(64)}`,
  ])
    it(`takes ${name.slice(0, 40)}`, () => assert.equal(invalidImageName(name), undefined));
  for (const name of ['', 'Web:1', 'a:', 'a b', 'a//b', 'http://a', '-a', 'a:tag:tag', `${'a'.repeat(256)}:1`])
    it(`refuses ${JSON.stringify(name.slice(0, 40))}`, () =>
      assert.match(invalidImageName(name) ?? '', /^invalid image name/));
});
