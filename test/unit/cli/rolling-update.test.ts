import assert from 'node:assert/strict';
import type { ReplicationController } from '../../../lib/api/objects.ts';
import {
  agreementOf,
  orderOf,
  rollingStatusAnnotation,
  rollingUpdateAnnotation,
  takesOverAnnotation,
  type RollingStatus,
} from '../../../lib/api/rolling-updates.ts';
import { anRc } from '../../support/builders.ts';
import { until } from '../../support/until.ts';
import { FakeClient, start, troupe, withFiles } from './run.ts';

const web1 = anRc({ name: 'web-1', replicas: 4, selector: { app: 'web', version: '1' }, template: { image: 'web:1' } });

const said = (phase: RollingStatus['phase'], more: Partial<RollingStatus> = {}): string =>
  JSON.stringify({
    ...{ phase, from: 'web-1', to: 'web-2', uid: 'u2', replicas: 4 },
    ...{ newReplicas: 2, newAvailable: 1, oldReplicas: 3, oldAvailable: 3, ...more },
  });
/** The new controller of an update under way, as the loop would have it. */
function web2(
  phase?: RollingStatus['phase'],
  more: Partial<RollingStatus> = {},
  isOver = false,
): ReplicationController {
  const rc = anRc({ name: 'web-2', selector: { app: 'web', version: '2' } });
  const annotations = {
    ...(!isOver && { [rollingUpdateAnnotation]: JSON.stringify({ from: 'web-1', replicas: 4 }) }),
    ...(phase !== undefined && { [rollingStatusAnnotation]: said(phase, more) }),
  };
  return { ...rc, metadata: { ...rc.metadata, uid: 'u2', annotations } };
}

describe('cli/rolling-update', () => {
  let client: FakeClient;
  beforeEach(() => {
    client = new FakeClient();
    client.put('replicationcontrollers', web1);
  });
  const made = async (): Promise<ReplicationController> => {
    const { items } = await client.list('replicationcontrollers');
    const found = items.find(({ metadata }) => metadata.name !== 'web-1');
    assert.ok(found, 'there is a new one');
    return found;
  };

  it('puts a copy with another image there, without pods, and says what was agreed on', async () => {
    const { code, err } = await troupe(
      client,
      'rolling-update web-1 --image=web:2 --surge=25% --canary=1 --update-period=90s --deadline=2m --on-failed=revert --no-wait',
    );
    assert.equal(code, 0, err);
    const next = await made();
    const hash = next.spec.selector['version'] ?? '';
    assert.match(hash, /^[a-z0-9]{7}$/);
    assert.equal(next.metadata.name, `web-${hash}`, 'its version is not piled on the one before');
    assert.deepEqual(next.spec.template.metadata?.labels, { app: 'web', version: hash });
    assert.equal(next.spec.template.spec.containers[0]?.image, 'web:2');
    assert.equal(next.spec.replicas, 0);
    assert.deepEqual(agreementOf(next), {
      ...{ from: 'web-1', replicas: 4, fromReplicas: 4, maxSurge: '25%', maxUnavailable: 0 },
      ...{ canary: 1, periodSeconds: 90, deadlineSeconds: 120, rename: false },
    });
    assert.equal(next.metadata.annotations?.['troupe.dev/on-failed-rollout'], 'revert');
    const again = await troupe(client, 'rolling-update web-1 --image=web:2 --no-wait');
    assert.match(again.err, /under way already/);
    const other = await troupe(client, 'rolling-update web-1 --image=web:3 --no-wait');
    assert.match(other.err, /a rolling update of web-1 to web-\w+ is under way: --resume, --pause or --rollback it/);
    assert.equal(other.code, 1);
  });

  it('has the old pods labelled where nothing tells them apart', async () => {
    client.put('replicationcontrollers', anRc({ name: 'plain', replicas: 2, selector: { app: 'x' } }));
    assert.equal((await troupe(client, 'rolling-update rc/plain --image=web:2 --no-wait')).code, 0);
    const { items } = await client.list('replicationcontrollers');
    const next = items.find(({ metadata }) => metadata.name.startsWith('plain-'));
    assert.ok(next);
    const { label } = agreementOf(next) ?? {};
    assert.equal(label?.key, 'version');
    assert.notEqual(label.value, next.spec.selector['version']);
  });

  it('takes the new one from a manifest, and its number of replicas', () =>
    withFiles({ 'next.yaml': manifest('web-2', { app: 'web', version: '2' }) }, async (folder) => {
      const { code, err } = await troupe(client, `rolling-update web-1 -f ${folder}/next.yaml --no-wait`);
      assert.equal(code, 0, err);
      const next = await made();
      const { replicas, fromReplicas, label } = agreementOf(next) ?? {};
      assert.deepEqual([next.spec.replicas, replicas, fromReplicas, label], [0, 6, 4, undefined]);
    }));

  const refused: readonly (readonly [line: string, words: RegExp, code: number])[] = [
    ['rolling-update none --image=web:2', /"none" not found|none/, 1],
    ['rolling-update web-1 --image=web:1', /nothing to update: web-1 has web:1 already/, 2],
    ['rolling-update web-1 --image=other=web:2', /no container "other"/, 2],
    ['rolling-update web-1 --image=web:2 --surge=0', /no step could be made/, 2],
    ['rolling-update web-1 --image=web:2 --on-failed=panic', /use stop, revert, continue/, 2],
    ['rolling-update web-1 --image=web:2 --pause', /for an update under way/, 2],
    ['rolling-update web-1 --pause --resume', /give one of/, 2],
    ['rolling-update web-1', /no rolling update of web-1 is under way/, 1],
  ];
  for (const [line, words, exit] of refused)
    it(`refuses: ${line}`, async () => {
      const { code, err } = await troupe(client, line);
      assert.match(err, words);
      assert.equal(code, exit, err);
      assert.deepEqual(client.writes, []);
    });
  it('refuses a manifest whose selector finds the old pods', () =>
    withFiles({ 'next.yaml': manifest('web-2', { app: 'web' }) }, async (folder) => {
      const { err } = await troupe(client, `rolling-update web-1 -f ${folder}/next.yaml`);
      assert.match(err, /its selector finds the pods of web-1 too/);
    }));

  it('gives orders by either name, from anywhere', async () => {
    client.put('replicationcontrollers', web2('Progressing'));
    assert.equal((await troupe(client, 'rolling-update web-1 --pause')).code, 0);
    assert.equal(orderOf(await made()), 'pause');
    assert.equal((await troupe(client, 'rolling-update web-2 --rollback --no-wait')).code, 0);
    assert.equal(orderOf(await made()), 'back');
  });

  it('shows a line for each change until the end', async () => {
    client.put('replicationcontrollers', web2('Progressing'));
    const running = start(client, 'rolling-update web-1');
    await until(() => running.out().includes('web-2 1 of 4 ready (2 made), web-1 3 left'), { what: 'the first line' });
    await until(() => client.watching > 0, { what: 'a watch' });
    client.put('replicationcontrollers', web2('Succeeded', { newReplicas: 4, newAvailable: 4, oldReplicas: 0 }, true));
    const { code, out, err } = await running.said;
    assert.equal(code, 0);
    assert.match(out, /Succeeded {2}web-2 4 of 4 ready, web-1 0 left/);
    assert.match(err, /web-1 has given way to web-2/);
  });

  for (const { what, status, written } of [
    {
      what: 'its pods are handed to one with the old name',
      status: 'Succeeded',
      written: { [takesOverAnnotation]: JSON.stringify({ name: 'web-2', uid: 'u2' }) },
    },
    { what: 'it has given its pods back', status: 'RolledBack', written: {} },
  ] as const)
    it(`does not end before the new one is gone, where ${what}`, async () => {
      client.put('replicationcontrollers', web2('Progressing'));
      const running = start(client, 'rolling-update web-1');
      await until(() => running.out() !== '' && client.watching > 0, { what: 'the first line' });
      const more = status === 'RolledBack' ? { reason: 'Ordered' } : {};
      const ended = { ...web1.metadata, annotations: { ...written, [rollingStatusAnnotation]: said(status, more) } };
      client.put('replicationcontrollers', { ...web1, metadata: ended });
      await until(() => running.out().includes(status), { what: 'the end is told' });
      assert.equal(await Promise.race([running.said, later()]), undefined, 'web-2 is there still');
      client.remove('replicationcontrollers', 'default/web-2');
      if (status === 'Succeeded') {
        assert.equal(await Promise.race([running.said, later()]), undefined, 'web-1 has not taken the pods');
        const { [takesOverAnnotation]: _, ...annotations } = ended.annotations as Readonly<Record<string, string>>;
        client.put('replicationcontrollers', { ...web1, metadata: { ...ended, annotations } });
      }
      assert.equal((await running.said).code, 0);
    });

  it('ends with the cause where it stopped, and says what can be done', async () => {
    const why = { reason: 'ImagePullBackOff', message: 'pod web-2-x: container app: no such image' };
    client.put('replicationcontrollers', web2('Stopped', why));
    const { code, err } = await troupe(client, 'rolling-update web-1');
    assert.equal(code, 1);
    assert.match(err, /stopped: ImagePullBackOff: pod web-2-x: container app: no such image/);
    assert.match(err, /rolling-update web-1 --resume.*--rollback/s);
  });

  it('leaves at the canary with the words to go on', async () => {
    client.put('replicationcontrollers', web2('Canary', { message: '1 of 4 pods are new; waits for an order' }));
    const { code, err } = await troupe(client, 'rolling-update web-1');
    assert.equal(code, 0);
    assert.match(err, /1 of 4 pods are new.*--resume/s);
  });

  it('says on Ctrl-C that the update goes on', async () => {
    client.put('replicationcontrollers', web2('Progressing'));
    const running = start(client, 'rolling-update web-1');
    await until(() => running.out() !== '' && client.watching > 0, { what: 'the first line' });
    running.interrupt();
    const { code, err } = await running.said;
    assert.equal(code, 130);
    assert.match(err, /goes on in the cluster.*--pause.*--rollback/s);
  });

  it('writes an object a line with -o json', async () => {
    client.put('replicationcontrollers', web2('Succeeded', {}, true));
    const { out } = await troupe(client, 'rolling-update web-2 -o json');
    const { type, phase, newAvailable } = JSON.parse(out) as Readonly<Record<string, unknown>>;
    assert.deepEqual([type, phase, newAvailable], ['status', 'Succeeded', 1]);
  });

  it('draws bars on a terminal', async () => {
    client.put(
      'replicationcontrollers',
      web2('Succeeded', { newReplicas: 4, newAvailable: 4, oldReplicas: 0, oldAvailable: 0 }, true),
    );
    const { out } = await troupe(client, 'rolling-update web-1 --no-color', { isTerminal: true });
    assert.match(out, /web-2 {2}█{24} {2}4 of 4 ready/);
    assert.match(out, /web-1 {2}·{24} {2}0 of 0 ready/);
  });
});

/** All that is under way without waiting for a timer has had its turn. */
const later = (): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, 20);
  });

function manifest(name: string, labels: Readonly<Record<string, string>>): string {
  const lines = (indent: string): string =>
    Object.entries(labels)
      .map(([key, value]) => `${indent}${key}: "${value}"`)
      .join('\n');
  return `apiVersion: v1
kind: ReplicationController
metadata:
  name: ${name}
spec:
  replicas: 6
  selector:
${lines('    ')}
  template:
    metadata:
      labels:
${lines('        ')}
    spec:
      containers:
        - name: main
          image: web:2
`;
}
