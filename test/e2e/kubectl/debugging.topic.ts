import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerStatus, Pod } from '../../../lib/api/objects.ts';
import { isReady } from '../../../lib/api/pods.ts';
import { until } from '../../support/until.ts';
import { image, type KubectlBed } from './bed.ts';

/** Serves a page, and has a folder with a file in it. */
const app = `
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  terminationGracePeriodSeconds: 5
  containers:
    - name: main
      image: ${image}
      imagePullPolicy: IfNotPresent
      command: [sh, -c, "echo page > /tmp/index.html; echo there > /shared/file; exec httpd -f -p 8080 -h /tmp"]
      volumeMounts: [{name: work, mountPath: /shared}]
  volumes: [{name: work, emptyDir: {}}]
`;

/** Looking into pods and nodes: kubectl debug, and all that reaches containers by their names. */
export function debuggingTopic(bed: KubectlBed): void {
  describe('debugs', () => {
    const n = 'debugging';
    const pod = async (name: string): Promise<Pod> =>
      JSON.parse(await bed.kubectl(`-n ${n} get pod ${name} -o json`)) as Pod;
    const look = async (name: string): Promise<ContainerStatus | undefined> =>
      (await pod('app')).status.ephemeralContainerStatuses?.find((each) => each.name === name);
    const lookIs = (name: string, what: string, check: (status: ContainerStatus) => boolean): Promise<unknown> =>
      until(
        async () => {
          const found = await look(name);
          return found !== undefined && check(found);
        },
        { what: `${name} ${what}`, timeoutMs: 60_000, everyMs: 200 },
      );
    const ended = (name: string): Promise<unknown> =>
      lookIs(name, 'has ended', ({ state }) => state?.terminated !== undefined);
    const debug = (target: string, ...words: readonly string[]): readonly string[] => [
      ...['-n', n, 'debug', target, `--image=${image}`, '--image-pull-policy=IfNotPresent', '--profile=general'],
      ...words,
    ];
    const inApp = (part = ''): string => `/api/v1/namespaces/${n}/pods/app${part}`;
    before(async () => {
      await bed.kubectl(`create namespace ${n}`);
      await bed.kubectl(`-n ${n} apply -f -`, { input: app });
      await bed.says(n, ['wait pod/app --for=condition=Ready --timeout=60s', /condition met/]);
    });
    after(() => bed.kubectl(`delete namespace ${n} --timeout=60s`));

    it('talks with a program beside a pod that runs, in the network of that', async () => {
      const script = 'read word; echo "got $word"; wget -qO- localhost:8080; exit 3';
      const words = debug('app', '-i', '-c', 'look', '--', 'sh', '-c', `'${script}'`).join(' ');
      // Input that goes on: it is the end of the program that ends kubectl.
      const said = await bed.shell(
        `mkfifo $HOME/said && exec 3<>$HOME/said && echo hello >&3 && kubectl ${words} <$HOME/said`,
      );
      assert.equal(said.stdout, 'got hello\npage\n', said.stderr);
      await ended('look');
      const { status, metadata } = await pod('app');
      const [told] = status.ephemeralContainerStatuses ?? [];
      assert.deepEqual(
        [told?.state?.terminated?.exitCode, told?.state?.terminated?.reason, told?.ready, told?.restartCount],
        [3, 'Error', false, 0],
      );
      assert.deepEqual([status.phase, isReady(await pod('app')), metadata.generation], ['Running', true, 2]);
      await bed.says(n, ['logs app -c look', /^got hello\npage\n$/], ['get pod app', /^app +1\/1 +Running +0 /m]);
      await bed.comesToSay(n, ['events --for pod/app', /Started container look/]);
    });

    it('gives it a terminal', async () => {
      // `script` has a terminal for kubectl, of the size that it is given there.
      const waits = 'until [ "$(stty size)" = "23 91" ]; do sleep 0.1; done; tty; echo resized';
      const words = debug('app', '-it', '-c', 'screen', '--', 'sh', '-c', `'${waits}'`).join(' ');
      const said = await bed.shell(
        `script -qec "stty rows 23 cols 91; kubectl ${words.replaceAll(/["$]/g, '\\$&')}" /dev/null`,
      );
      assert.match(said.stdout, /\/dev\/\w+[\s\S]*resized/, said.stdout + said.stderr);
      await ended('screen');
    });

    it('shows it the processes of a container, and those alone which it asks for', async () => {
      const list = ['--', 'sh', '-c', 'ps -o comm; ls /proc/1/root/tmp'];
      assert.match(await bed.kubectl(debug('app', '-c', 'own', ...list)), /^$/);
      const said = await bed.raw(debug('app', '-c', 'peer', '--target=main', ...list));
      assert.match(said.stdout + said.stderr, /Targeting container "main"/);
      await ended('own');
      await ended('peer');
      assert.doesNotMatch(await bed.kubectl(`-n ${n} logs app -c own`), /httpd/);
      assert.match(await bed.kubectl(`-n ${n} logs app -c peer`), /^httpd$[\s\S]*^index.html$/m);
      assert.match(
        await bed.refused(debug('app', '--target=none', '--', 'true')),
        /targetContainerName: Not found: "none": must be a container or init container of the pod: main/,
      );
    });

    it('gives it variables, volumes and rights as they are asked for', async () => {
      const custom = bed.file(
        'custom.json',
        JSON.stringify({
          env: [{ name: 'WHO', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
          volumeMounts: [{ name: 'work', mountPath: '/data' }],
          securityContext: { runAsUser: 1234, capabilities: { add: [] } },
        }),
      );
      await bed.kubectl(
        debug('app', '-c', 'custom', `--custom=${custom}`, '--', 'sh', '-c', 'echo $WHO $(id -u) $(cat /data/file)'),
      );
      await ended('custom');
      await bed.says(n, ['logs app -c custom', /^app 1234 there\n$/]);
    });

    it('is reached by its name, by both programs', async () => {
      await bed.kubectl(debug('app', '-c', 'shell', '--', 'sleep', '600'));
      await lookIs('shell', 'runs', ({ state }) => state?.running !== undefined);
      assert.equal(await bed.kubectl(`-n ${n} exec -i app -c shell -- cat`, { input: 'from here' }), 'from here');
      const from = bed.file('looked', 'x'.repeat(50_000));
      await bed.kubectl(`-n ${n} cp ${from} app:/tmp/there -c shell`);
      await bed.kubectl(`-n ${n} cp app:/tmp/there ${join(bed.home, 'looked-back')} -c shell`);
      assert.equal(readFileSync(join(bed.home, 'looked-back'), 'utf8'), readFileSync(from, 'utf8'));
      await bed.says(n, [
        'describe pod app',
        /^Ephemeral Containers:\n {2}look:[\s\S]*State: +Terminated\n +Reason: +Error\n +Exit Code: +3[\s\S]*^ {2}shell:[\s\S]*State: +Running/m,
      ]);
      const troupe = async (...words: readonly string[]): Promise<string> => {
        const said = await bed.cluster.troupe(...words, '-n', n);
        assert.equal(said.code, 0, said.stderr);
        return said.stdout;
      };
      assert.match(
        await troupe('describe', 'pod', 'app'),
        /Ephemeral containers[\s\S]*peer[\s\S]*Sees processes of: +main/,
      );
      const mine = ['debug', 'app', '--image', image, '-c', 'by-troupe', '--target', 'main', 'hostname'];
      assert.equal(await troupe(...mine), 'container by-troupe added to pod/app\n');
      await ended('by-troupe');
      assert.equal(await troupe('logs', 'app', '-c', 'by-troupe'), 'app\n');
      assert.match(await troupe('get', 'pod', 'app', '-o', 'json'), /"ephemeralContainerStatuses"/);
      assert.equal(await troupe('logs', 'app', '-c', 'look'), 'got hello\npage\n');
      assert.equal(await troupe('exec', 'app', '-c', 'shell', 'hostname'), 'app\n');
    });

    it('runs on without its agent, which starts none of them again', async () => {
      const before = (await pod('app')).status.ephemeralContainerStatuses;
      bed.cluster.kill('node-agent');
      // Whoever gets an answer from the shell has it from the agent that came after.
      await until(async () => (await bed.raw(`-n ${n} exec app -c shell -- hostname`)).stdout === 'app\n', {
        what: 'the agent to be back',
        timeoutMs: 30_000,
        everyMs: 500,
      });
      assert.deepEqual((await pod('app')).status.ephemeralContainerStatuses, before);
      const made = await bed.engine.listContainers({ all: true, filters: { label: ['troupe.kind=ephemeral'] } });
      assert.equal(made.length, before?.length, made.map(({ Names }) => Names.join()).join(' '));
    });

    it('says what it waits for, and takes none away', async () => {
      const absent = [
        '-n',
        n,
        'debug',
        'app',
        '-c',
        'absent',
        '--image=troupe-test/none:1',
        '--image-pull-policy=Never',
      ];
      await bed.kubectl([...absent, '--', 'true']);
      await lookIs('absent', 'waits', ({ state }) => state?.waiting?.reason === 'ErrImageNeverPull');
      const whole = JSON.parse(await bed.kubectl(`get --raw ${inApp('/ephemeralcontainers')}`)) as Pod;
      const list = whole.spec.ephemeralContainers ?? [];
      assert.ok(list.length > 5);
      const less = { ...whole, spec: { ...whole.spec, ephemeralContainers: list.slice(1) } };
      const file = bed.file('less.json', JSON.stringify(less));
      assert.match(
        await bed.refused(`replace --raw ${inApp('/ephemeralcontainers')} -f ${file}`),
        /existing ephemeral containers "look" may not be removed/,
      );
    });

    it('makes a copy that can be looked into from its start', async () => {
      const copy = debug(
        'app',
        '--copy-to=app-copy',
        '--share-processes',
        '-c',
        'look',
        '--',
        'sh',
        '-c',
        'sleep 1; ps -o comm; sleep 600',
      );
      await bed.kubectl(copy);
      await bed.says(n, ['wait pod/app-copy --for=condition=Ready --timeout=60s', /condition met/]);
      const { spec, metadata } = await pod('app-copy');
      assert.deepEqual(
        [spec.containers.map(({ name }) => name), spec.shareProcessNamespace, spec.ephemeralContainers],
        [['main', 'look'], true, undefined],
      );
      assert.notEqual(metadata.uid, (await pod('app')).metadata.uid);
      await until(async () => (await bed.kubectl(`-n ${n} logs app-copy -c look`)).includes('httpd'), {
        what: 'the processes of the copy',
        timeoutMs: 20_000,
        everyMs: 200,
      });
      const other = ['-n', n, 'debug', 'app', '--copy-to=app-2', `--set-image=main=${image}`, '-c', 'main'];
      await bed.kubectl([...other, '--profile=general', '--', 'sleep', '600']);
      assert.deepEqual(
        (await pod('app-2')).spec.containers[0]?.args ?? (await pod('app-2')).spec.containers[0]?.command,
        ['sleep', '600'],
      );
      await bed.kubectl(`-n ${n} delete pod app-copy app-2 --now`);
    });

    it('looks into a node, with the rights of a pod that is there for it', async () => {
      const said = await bed.kubectl(
        debug('node/node-1', '--', 'sh', '-c', 'test -d /host/etc && ps -o comm && echo seen'),
      );
      const name = /pod (node-debugger-node-1-\w+)/.exec(said)?.[1] ?? '';
      await bed.says(n, [`wait pod/${name} --for=jsonpath={.status.phase}=Succeeded --timeout=60s`, /condition met/]);
      assert.match(await bed.kubectl(`-n ${n} logs ${name}`), /node[\s\S]*seen\n$/);
      await bed.kubectl(`-n ${n} delete pod ${name}`);
    });

    it('is not what keeps a pod: a shell that was left open ends with it', async () => {
      await bed.says(n, ['delete pod app --timeout=60s', /deleted/]);
      assert.match(await bed.refused(debug('app', '--', 'true')), /pods "app" not found/);
    });
  });
}
