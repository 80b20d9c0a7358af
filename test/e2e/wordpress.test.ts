import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import Docker from 'dockerode';
import { isReady } from '../../lib/api/pods.ts';
import type { Pod } from '../../lib/api/objects.ts';
import type { Client } from '../../lib/client/client.ts';
import { run, TestCluster } from '../support/cluster.ts';
import { until } from '../support/until.ts';

/**
 * The story of examples/wordpress/README.md on real parts: WordPress is installed by its own form, a post and a picture are
 * put on it, and then what can happen happens: the database is killed, its pod is removed, the whole cluster stops and
 * starts. Told in order: each step stands on the one before.
 */
describe('e2e/wordpress', function () {
  this.timeout(300_000);
  let cluster: TestCluster;
  let client: Client;
  let site: Site;

  const podOf = async (tier: string): Promise<Pod | undefined> =>
    (await client.list('pods', { namespace: 'default', labelSelector: `app=wordpress,tier=${tier}` })).items.find(
      ({ metadata }) => metadata.deletionTimestamp === undefined,
    );
  const untilReady = (tier: string, but?: (pod: Pod) => boolean): Promise<Pod> =>
    until(
      async () => {
        const pod = await podOf(tier);
        return pod !== undefined && isReady(pod) && but?.(pod) !== true ? pod : undefined;
      },
      { timeoutMs: 60_000, everyMs: 100, what: `the ${tier} ready` },
    );
  const untilShown = (): Promise<unknown> =>
    until(() => site.shows('Disks outlive pods'), { timeoutMs: 60_000, everyMs: 200, what: 'the post on the page' });
  const disks = (): readonly string[] => readdirSync(join(cluster.dataDir, 'node/disks'));

  before(async () => {
    cluster = await TestCluster.start(164);
    client = cluster.client();
    const built = await run(
      'npx',
      ['tsx', 'examples/wordpress/build-images.ts', '--docker-socket', cluster.dockerSocket],
      {},
      240_000,
    );
    assert.equal(built.code, 0, built.stdout + built.stderr);
  });
  after(async () => {
    client?.close();
    await cluster?.stop();
  });
  afterEach(async function () {
    if (this.currentTest?.state !== 'failed') return;
    for (const words of [
      ['get', 'pods,pv,pvc,sc', '-A', '-o', 'wide'],
      ['events', '-A'],
      ['logs', 'rc/mariadb'],
      ['logs', 'rc/wordpress'],
    ])
      console.log((await cluster.troupe(...words)).stdout.slice(-6_000));
  });

  it('comes up from its manifests, each pod with a disk of its own', async () => {
    const applied = await cluster.troupe('apply', '-f', 'examples/wordpress/');
    assert.equal(applied.code, 0, applied.stdout + applied.stderr);
    await untilReady('database');
    await untilReady('web');
    const shown = await cluster.troupe('get', 'pvc');
    assert.match(shown.stdout, /^mariadb +Bound +pvc-\S+ +1Gi +RWO +local +<unset>/m);
    assert.match(shown.stdout, /^wordpress +Bound +pvc-\S+ +1Gi +RWO +local +<unset>/m);
    assert.equal(disks().length, 2);
    const service = await client.get('services', 'default/wordpress');
    site = new Site(`http://${service?.spec.clusterIP ?? ''}`);
  });

  it('is installed by its form, and takes a post and a picture', async () => {
    await until(() => site.install(), { timeoutMs: 60_000, everyMs: 500, what: 'the installation' });
    await site.logIn();
    await site.publish('Disks outlive pods', 'and so do words');
    await untilShown();
    await site.upload('dot.gif');
    assert.equal(await site.picture(), 'GIF89a');
  });

  it('keeps its data when the database is killed', async () => {
    const pod = await untilReady('database');
    const id = pod.status.containerStatuses?.[0]?.containerID?.replace('docker://', '') ?? '';
    await new Docker({ socketPath: cluster.dockerSocket }).getContainer(id).kill({ signal: 'SIGKILL' });
    await untilReady('database', ({ status }) => (status.containerStatuses?.[0]?.restartCount ?? 0) === 0);
    await untilShown();
  });

  it('keeps its data when both pods are lost', async () => {
    const before = [await untilReady('database'), await untilReady('web')];
    const isOld = (pod: Pod): boolean => before.some(({ metadata }) => metadata.uid === pod.metadata.uid);
    for (const { metadata } of before)
      await client.delete('pods', `default/${metadata.name}`, { gracePeriodSeconds: 1 });
    await untilReady('database', isOld);
    await untilReady('web', isOld);
    await untilShown();
    assert.equal(await site.picture(), 'GIF89a');
  });

  it('keeps its data when the whole cluster stops and starts', async () => {
    client.close();
    const down = await cluster.down();
    assert.equal(down.code, 0, down.stdout + down.stderr);
    assert.equal(disks().length, 2, 'disks stay');
    await cluster.up();
    client = cluster.client();
    await untilReady('database');
    await untilReady('web');
    await untilShown();
    assert.equal(await site.picture(), 'GIF89a');
  });

  it('lets go of a claim only with its last pod, and then of the disk', async () => {
    const volume = (await client.get('persistentvolumeclaims', 'default/mariadb'))?.spec.volumeName ?? '';
    const deleted = await cluster.troupe('delete', 'pvc/mariadb', '--no-wait');
    assert.equal(deleted.code, 0, deleted.stdout + deleted.stderr);
    await untilShown();
    assert.match((await cluster.troupe('get', 'pvc')).stdout, /^mariadb +Terminating/m);
    const gone = await cluster.troupe('delete', 'rc/mariadb', '--cascade=background');
    assert.equal(gone.code, 0, gone.stdout + gone.stderr);
    await until(async () => (await client.get('persistentvolumes', volume)) === undefined, {
      timeoutMs: 60_000,
      what: 'the volume gone',
    });
    assert.equal(existsSync(join(cluster.dataDir, 'node/disks', volume)), false);
    assert.equal(disks().length, 1, 'the other stays');
  });
});

const user = { name: 'editor', password: 'a long pass phrase' };
const dot = Buffer.from('R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==', 'base64');

/** WordPress as a browser uses it. */
class Site {
  readonly #url: string;
  #cookies = '';
  #picture = '';

  constructor(url: string) {
    this.#url = url;
  }

  async shows(text: string): Promise<boolean> {
    const page = await this.#call('/');
    return page.status === 200 && (await page.text()).includes(text);
  }

  /** The form of the first visit. False while the database cannot be reached. */
  async install(): Promise<boolean> {
    const { name, password } = user;
    const words = { weblog_title: 'Troupe', user_name: name, admin_password: password, admin_password2: password };
    const rest = { pw_weak: 'on', admin_email: 'editor@example.com', blog_public: '0', language: '' };
    const answer = await this.#form('/wp-admin/install.php?step=2', { ...words, ...rest });
    return answer.status === 200 && (await answer.text()).includes('Success!');
  }

  async logIn(): Promise<void> {
    const words = { log: user.name, pwd: user.password, testcookie: '1', redirect_to: `${this.#url}/wp-admin/` };
    this.#cookies = 'wordpress_test_cookie=WP%20Cookie%20check';
    const answer = await this.#form('/wp-login.php', words);
    assert.equal(answer.status, 302, await answer.text());
    this.#cookies = answer.headers
      .getSetCookie()
      .map((cookie) => cookie.split(';')[0])
      .join('; ');
  }

  async publish(title: string, content: string): Promise<void> {
    const body = JSON.stringify({ title, content, status: 'publish' });
    const answer = await this.#api('/wp/v2/posts', body, { 'content-type': 'application/json' });
    assert.equal(answer.status, 201, await answer.text());
  }

  async upload(name: string): Promise<void> {
    const about = { 'content-type': 'image/gif', 'content-disposition': `attachment; filename="${name}"` };
    const answer = await this.#api('/wp/v2/media', dot, about);
    assert.equal(answer.status, 201);
    this.#picture = new URL(((await answer.json()) as { source_url: string }).source_url).pathname;
  }

  /** The first letters of what was uploaded. */
  async picture(): Promise<string> {
    const answer = await this.#call(this.#picture);
    return Buffer.from(await answer.arrayBuffer()).toString('latin1', 0, 6);
  }

  async #api(path: string, body: string | Buffer, headers: Record<string, string>): Promise<Response> {
    const nonce = await (await this.#call('/wp-admin/admin-ajax.php?action=rest-nonce')).text();
    return this.#call(`/index.php?rest_route=${path}`, {
      method: 'POST',
      headers: { ...headers, 'x-wp-nonce': nonce },
      body: typeof body === 'string' ? body : new Uint8Array(body),
    });
  }

  #form(path: string, words: Record<string, string>): Promise<Response> {
    return this.#call(path, { method: 'POST', body: new URLSearchParams(words) });
  }

  #call(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { ...(init.headers as Record<string, string> | undefined), cookie: this.#cookies };
    const signal = AbortSignal.timeout(20_000);
    return fetch(`${this.#url}${path}`, { ...init, headers, redirect: 'manual', signal });
  }
}
