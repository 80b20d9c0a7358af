import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type Docker from 'dockerode';
import { freePort } from './free-port.ts';
import { until } from './until.ts';

/** Why tests with a real registry cannot run here; undefined when they can. */
export function whyNoRegistry(): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(':');
  const missing = ['docker-registry', 'htpasswd'].find(
    (program) => !folders.some((folder) => existsSync(join(folder, program))),
  );
  return missing === undefined
    ? undefined
    : `no ${missing} on the path (Debian: apt-get install docker-registry apache2-utils)`;
}

/** A real image registry on loopback that lets in `ann` with the password `s3cret` alone; in a temporary folder. */
export class ImageRegistry {
  static readonly user = { username: 'ann', password: 's3cret' };
  readonly host: string;
  readonly #folder: string;
  #process: ChildProcess | undefined;

  private constructor(port: number) {
    this.host = `127.0.0.1:${port}`;
    this.#folder = mkdtempSync(join(tmpdir(), 'troupe-registry-'));
  }

  static async start(): Promise<ImageRegistry> {
    const made = new ImageRegistry(await freePort());
    const { username, password } = ImageRegistry.user;
    const users = join(made.#folder, 'users');
    writeFileSync(users, execFileSync('htpasswd', ['-Bbn', username, password]));
    mkdirSync(join(made.#folder, 'data'));
    const config = {
      version: 0.1,
      log: { level: 'error' },
      storage: { filesystem: { rootdirectory: join(made.#folder, 'data') }, delete: { enabled: true } },
      http: { addr: made.host },
      auth: { htpasswd: { realm: 'troupe-test', path: users } },
    };
    writeFileSync(join(made.#folder, 'config.yml'), JSON.stringify(config)); // JSON is YAML too
    try {
      await made.up();
    } catch (error) {
      await made.stop();
      throw error;
    }
    return made;
  }

  async up(): Promise<void> {
    const config = join(this.#folder, 'config.yml');
    this.#process = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
    const answers = async (): Promise<boolean> => (await fetch(`http://${this.host}/v2/`)).status === 401;
    await until(() => answers().catch(() => false), { what: 'the registry answers', timeoutMs: 20_000 });
  }

  async down(): Promise<void> {
    const running = this.#process;
    this.#process = undefined;
    if (running === undefined || running.exitCode !== null) return;
    const ended = new Promise((resolve) => running.once('exit', resolve));
    running.kill('SIGKILL');
    await ended;
  }

  async stop(): Promise<void> {
    await this.down();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Brings an image of the engine here under `name` (`app:1`) and takes it off the engine; its digest. */
  async push(docker: Docker, image: string, name: string): Promise<string> {
    const [repo = '', tag = 'latest'] = name.split(':');
    const full = `${this.host.replace('127.0.0.1', 'localhost')}/${repo}`; // so that the name that pods use stays as it is
    await docker.getImage(image).tag({ repo: full, tag });
    const pushed = docker.getImage(`${full}:${tag}`);
    const stream = await pushed.push({ authconfig: { ...ImageRegistry.user, serveraddress: this.host } });
    let digest = '';
    await new Promise<void>((resolve, reject) => {
      docker.modem.followProgress(
        stream,
        (error) => {
          if (error === null) resolve();
          else reject(error);
        },
        (event: { readonly aux?: { readonly Digest?: string } }) => {
          digest = event.aux?.Digest ?? digest;
        },
      );
    });
    await pushed.remove();
    return digest;
  }
}
