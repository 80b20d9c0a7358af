import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Secret } from '../../../lib/api/objects.ts';
import { silentLog } from '../../../lib/base/log.ts';
import { recorded, refreshed, removable, type ImageRecord } from '../../../node-agent/images/image-garbage.ts';
import { ImageKeeper, minAgeMs } from '../../../node-agent/images/image-keeper.ts';
import { NodeImages, toldOf } from '../../../node-agent/images/node-images.ts';
import { newImagePuller } from '../../../node-agent/images/image-puller.ts';
import { credentialsFor } from '../../../node-agent/images/pull-secrets.ts';
import { listedName, parseReference, pullName } from '../../../lib/api/image-reference.ts';
import { RuntimeError, type HeldImage, type RegistryAuth } from '../../../node-agent/runtime/runtime.ts';
import { FakeClock } from '../../support/fake-clock.ts';

describe('api/image-reference', () => {
  const rows = [
    ['busybox', 'docker.io', 'library/busybox', 'busybox:latest', 'busybox:latest'],
    ['team/app:1.2', 'docker.io', 'team/app', 'team/app:1.2', 'team/app:1.2'],
    ['docker.io/library/busybox:1', 'docker.io', 'library/busybox', 'docker.io/library/busybox:1', 'busybox:1'],
    ['index.docker.io/team/app', 'docker.io', 'team/app', 'index.docker.io/team/app:latest', 'team/app:latest'],
    ['127.0.0.1:5000/app', '127.0.0.1:5000', 'app', '127.0.0.1:5000/app:latest', '127.0.0.1:5000/app:latest'],
    ['localhost/a/b:x', 'localhost', 'a/b', 'localhost/a/b:x', 'localhost/a/b:x'],
    ['r.example/app@sha256:ab', 'r.example', 'app', 'r.example/app@sha256:ab', 'r.example/app@sha256:ab'],
    ['r.example/app:1@sha256:ab', 'r.example', 'app', 'r.example/app:1@sha256:ab', 'r.example/app@sha256:ab'],
  ] as const;
  for (const [image, host, path, pull, listed] of rows) {
    it(`takes ${image} apart`, () => {
      const found = parseReference(image);
      assert.deepEqual([found.host, found.path, pullName(image), listedName(image)], [host, path, pull, listed]);
    });
  }
});

const b64 = (text: string): string => Buffer.from(text).toString('base64');
const secretOf = (type: string, key: string, value: unknown, name = 'pull'): Secret => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, uid: name, resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' },
  type,
  data: { [key]: b64(typeof value === 'string' ? value : JSON.stringify(value)) },
});
const configJson = (auths: object, name?: string): Secret =>
  secretOf('kubernetes.io/dockerconfigjson', '.dockerconfigjson', { auths }, name);

describe('node-agent/images/pull-secrets', () => {
  const ann = { username: 'ann', password: 'secret' };
  const users = (image: string, ...secrets: readonly Secret[]): readonly string[] =>
    credentialsFor(image, secrets).auths.map(({ username }) => username);

  const rows: readonly { readonly place: string; readonly image: string; readonly fits: boolean }[] = [
    { place: 'r.example', image: 'r.example/app:1', fits: true },
    { place: 'https://r.example/v2/', image: 'r.example/app:1', fits: true },
    { place: 'r.example', image: 'r.example:5000/app', fits: false },
    { place: 'r.example:5000', image: 'r.example:5000/app', fits: true },
    { place: 'r.example/team', image: 'r.example/team/app', fits: true },
    { place: 'r.example/team', image: 'r.example/teams/app', fits: false },
    { place: '*.example', image: 'r.example/app', fits: true },
    { place: '*.example', image: 'a.r.example/app', fits: false },
    { place: 'r*.example', image: 'r2.example/app', fits: true },
    { place: 'https://index.docker.io/v1/', image: 'busybox', fits: true },
    { place: 'docker.io', image: 'team/app', fits: true },
    { place: 'docker.io', image: 'r.example/team/app', fits: false },
    { place: 'r.example(', image: 'r.example/app', fits: false },
  ];
  for (const { place, image, fits } of rows) {
    it(`${fits ? 'takes' : 'does not take'} what is for ${place} to ${image}`, () =>
      assert.deepEqual(users(image, configJson({ [place]: ann })), fits ? ['ann'] : []));
  }

  it('reads the joined form, the older form and tokens', () => {
    const joined = configJson({ 'r.example': { auth: b64('bob:pass:word') } });
    assert.deepEqual(credentialsFor('r.example/a', [joined]).auths, [
      { server: 'r.example', username: 'bob', password: 'pass:word' },
    ]);
    const old = secretOf('kubernetes.io/dockercfg', '.dockercfg', { 'r.example': ann });
    assert.deepEqual(users('r.example/a', old), ['ann']);
    const token = configJson({ 'r.example': { auth: b64('x:'), identitytoken: 't' } });
    assert.equal(credentialsFor('r.example/a', [token]).auths[0]?.identityToken, 't');
  });

  it('tries the closest first, then in the order of the pod, each once', () => {
    const wide = configJson({ 'r.example': { username: 'wide', password: 'x' } });
    const close = configJson({ 'r.example/team': { username: 'close', password: 'x' } });
    const other = configJson({ 'r.example': { username: 'other', password: 'x' } });
    assert.deepEqual(users('r.example/team/app', wide, other, close, wide), ['close', 'wide', 'other']);
  });

  it('says what is wrong with a Secret, and nothing of what is in it', () => {
    const broken = [
      secretOf('kubernetes.io/dockerconfigjson', '.dockerconfigjson', 'hunter2 is not json', 'broken'),
      secretOf('Opaque', '.dockerconfigjson', { auths: { 'r.example': ann } }, 'opaque'),
      secretOf('kubernetes.io/dockerconfigjson', '.dockerconfigjson', { auths: 'hunter2' }, 'odd'),
    ];
    const { auths, problems } = credentialsFor('r.example/a', broken);
    assert.deepEqual(auths, []);
    assert.equal(problems.length, 3);
    assert.doesNotMatch(problems.join(), /hunter2|secret"/);
    assert.match(problems[1] ?? '', /Secret "opaque": is of type "Opaque"/);
  });

  it('reads anything without failing', () => {
    fc.assert(
      fc.property(fc.json(), fc.string(), (json, image) => {
        credentialsFor(image, [secretOf('kubernetes.io/dockerconfigjson', '.dockerconfigjson', json)]);
      }),
    );
  });
});

describe('node-agent/images/image-puller', () => {
  const nothingThere = { imagePresent: async () => undefined };

  it('pulls an image once for all who wait, and a few at one time', async () => {
    const open: (() => void)[] = [];
    let running = 0;
    let most = 0;
    const pulled: string[] = [];
    const puller = newImagePuller(
      {
        ...nothingThere,
        async pull(image) {
          pulled.push(image);
          most = Math.max(most, ++running);
          await new Promise<void>((resolve) => open.push(resolve));
          running--;
          return { id: image, sizeBytes: 1 };
        },
      },
      2,
    );
    const signal = new AbortController().signal;
    const all = ['a', 'a', 'b', 'c', 'a'].map((image) => puller.pull(image, [], signal));
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      open.shift()?.();
    }
    assert.deepEqual(
      (await Promise.all(all)).map((info) => info.id),
      ['a', 'a', 'b', 'c', 'a'],
    );
    assert.deepEqual(pulled.sort(), ['a', 'b', 'c']);
    assert.equal(most, 2);
  });

  it('ends a pull only when nobody waits for it any more', async () => {
    let ended = false;
    const puller = newImagePuller(
      {
        ...nothingThere,
        pull: (_, signal) =>
          new Promise((__, reject) =>
            signal.addEventListener('abort', () => {
              ended = true;
              reject(signal.reason as Error);
            }),
          ),
      },
      1,
    );
    const [one, two] = [new AbortController(), new AbortController()];
    const both = [one, two].map(({ signal }) => puller.pull('a', [], signal).catch(() => 'ended'));
    one.abort();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(ended, false);
    two.abort();
    assert.deepEqual(await Promise.all(both), ['ended', 'ended']);
  });

  const auth = (username: string): RegistryAuth => ({ server: 'r', username, password: 'x' });
  const refusing = (right: string | undefined, asked: (string | undefined)[] = []) =>
    newImagePuller(
      {
        ...nothingThere,
        pull: async (image, _, given) => {
          asked.push(given?.username);
          if (given?.username !== right)
            throw new RuntimeError('ImagePullFailed', `denied to ${given?.username ?? 'nobody'}`);
          return { id: image, sizeBytes: 7 };
        },
      },
      1,
    );
  const { signal } = new AbortController();

  it('tries credentials in order until one is let in', async () => {
    const asked: (string | undefined)[] = [];
    assert.equal((await refusing('two', asked).pull('a', ['one', 'two', 'three'].map(auth), signal)).sizeBytes, 7);
    assert.deepEqual(asked, ['one', 'two']);
  });
  it('says what each of them met', async () => {
    await assert.rejects(refusing(undefined).pull('a', ['one', 'two'].map(auth), signal), {
      code: 'ImagePullFailed',
      message: 'denied to one; denied to two',
    });
  });
  it('does not let a pod without credentials join the pull of one with them', async () => {
    const puller = refusing('one');
    const [mine, theirs] = await Promise.allSettled([
      puller.pull('a', [auth('one')], signal),
      puller.pull('a', [], signal),
    ]);
    assert.deepEqual([mine?.status, theirs?.status], ['fulfilled', 'rejected']);
  });
});

describe('node-agent/images/image-garbage', () => {
  const held = (id: string, over: Partial<HeldImage> = {}): HeldImage => ({
    ...{ id, sizeBytes: 10, names: [`r.example/${id}:1`, `r.example/${id}@sha256:${id}`], inUse: false },
    ...over,
  });
  const record = (id: string, usedAtMs = 0): ImageRecord => ({ id, names: [`r.example/${id}:1`], usedAtMs });
  const records = (...list: readonly ImageRecord[]): ReadonlyMap<string, ImageRecord> =>
    new Map(list.map((each) => [each.id, each]));
  const ids = (images: readonly HeldImage[]): readonly string[] => images.map(({ id }) => id);
  const at = { nowMs: 1_000_000, minAgeMs: 120_000 };

  const rows: readonly { it: string; image: HeldImage; record?: ImageRecord; want: boolean }[] = [
    { it: 'lets go what it pulled and nobody uses', image: held('a'), record: record('a'), want: true },
    { it: 'leaves what somebody else brought', image: held('a'), want: false },
    { it: 'leaves what any container has', image: held('a', { inUse: true }), record: record('a'), want: false },
    { it: 'leaves what was used a moment ago', image: held('a'), record: record('a', 900_000), want: false },
    {
      it: 'leaves what somebody has given a name of their own',
      image: held('a', { names: ['r.example/a:1', 'mine:1'] }),
      record: record('a'),
      want: false,
    },
    {
      it: 'leaves what somebody pulled from elsewhere too',
      image: held('a', { names: ['r.example/a:1', 'other.example/a@sha256:a'] }),
      record: record('a'),
      want: false,
    },
    {
      it: 'lets go an image whose tag has moved on',
      image: held('a', { names: ['r.example/a@sha256:a'] }),
      record: { ...record('a'), names: [] },
      want: true,
    },
  ];
  for (const row of rows) {
    it(row.it, () => {
      const known = row.record === undefined ? records() : records(row.record);
      assert.deepEqual(ids(removable([row.image], known, at)), row.want ? ['a'] : []);
    });
  }

  it('begins with what was not used for the longest time', () => {
    const known = records(record('a', 3), record('b', 1), record('c', 2));
    assert.deepEqual(ids(removable([held('a'), held('b'), held('c')], known, at)), ['b', 'c', 'a']);
  });

  it('never lets go what is in use or not its own, whatever is there', () => {
    const image = fc.record({ id: fc.constantFrom('a', 'b', 'c', 'd'), inUse: fc.boolean() });
    fc.assert(
      fc.property(
        fc.uniqueArray(image, { selector: ({ id }) => id }),
        fc.subarray(['a', 'b', 'c', 'd']),
        (all, ours) => {
          const found = removable(
            all.map(({ id, inUse }) => held(id, { inUse })),
            records(...ours.map((id) => record(id))),
            at,
          );
          for (const { id, inUse } of found) assert.ok(!inUse && ours.includes(id));
          assert.equal(found.length, all.filter(({ id, inUse }) => !inUse && ours.includes(id)).length);
        },
      ),
    );
  });

  it('remembers what it brought, and takes a tag off the image that it moved from', () => {
    const pull = (known: ReadonlyMap<string, ImageRecord>, id: string, wasThere?: string) =>
      recorded(known, { name: 'r.example/app:1', id, wasThere, nowMs: 5 });
    const first = pull(records(), 'a');
    assert.deepEqual([...first.values()], [{ id: 'a', names: ['r.example/app:1'], usedAtMs: 5 }]);
    const moved = pull(first, 'b', 'a');
    assert.deepEqual(
      [...moved.values()].map(({ id, names }) => [id, names.length]),
      [
        ['a', 0],
        ['b', 1],
      ],
    );
    assert.equal(pull(records(), 'a', 'a').size, 0, 'it was there before us');
    assert.deepEqual(
      [...refreshed(moved, [held('b', { inUse: true })], 9).values()].map((each) => [each.id, each.usedAtMs]),
      [['b', 9]],
    );
  });
});

describe('node-agent/images/image-keeper', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'troupe-images-'))));
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('remembers over a restart, frees as much as is asked and no more, and goes on where one cannot be removed', async () => {
    const clock = new FakeClock();
    let there = ['a', 'b', 'c', 'd'].map((id) => ({ id, sizeBytes: 10, names: [`${id}:1`], inUse: id === 'd' }));
    const runtime = {
      images: async () => there,
      removeImage: async (name: string) => {
        if (name === 'a:1') throw new RuntimeError('InUse', 'a container has it');
        there = there.filter(({ names }) => !names.includes(name));
      },
    };
    const open = (): ImageKeeper =>
      new ImageKeeper({ runtime, clock, log: silentLog, file: join(folder, 'images.json') });
    for (const id of ['a', 'b', 'c', 'd']) {
      await open().pulled(`${id}:1`, { id, sizeBytes: 10 }, undefined);
      await clock.advance(10);
    }
    assert.deepEqual(await open().free(15), { images: 0, bytes: 0 }, 'all are too fresh');
    await clock.advance(minAgeMs);
    assert.deepEqual(await open().free(5), { images: 1, bytes: 10 });
    assert.deepEqual(
      there.map(({ id }) => id),
      ['a', 'c', 'd'],
    );
    assert.deepEqual(await open().free(1_000), { images: 1, bytes: 10 });
    assert.deepEqual(
      there.map(({ id }) => id),
      ['a', 'd'],
    );
    assert.equal((JSON.parse(readFileSync(join(folder, 'images.json'), 'utf8')) as { images: [] }).images.length, 2);
  });

  it('takes nothing for its own when its memory is spoilt', async () => {
    writeFileSync(join(folder, 'images.json'), '{"images": [{"id": "a"}, 7');
    const runtime = {
      images: async () => [{ id: 'a', sizeBytes: 1, names: ['a:1'], inUse: false }],
      removeImage: () => Promise.reject(new Error('must not be asked')),
    };
    const keeper = new ImageKeeper({
      runtime,
      clock: new FakeClock(),
      log: silentLog,
      file: join(folder, 'images.json'),
    });
    assert.deepEqual(await keeper.free(1), { images: 0, bytes: 0 });
  });
});

describe('node-agent/images/node-images', () => {
  const held = (name: string, sizeBytes: number) => ({ names: [`${name}@sha256:ab`, `${name}:1`], sizeBytes });

  it('tells the largest first, tags before digests, and no more than 50', () => {
    assert.deepEqual(toldOf([held('a', 1), { names: [], sizeBytes: 9 }, held('b', 5)]), [
      { names: ['b:1', 'b@sha256:ab'], sizeBytes: 5 },
      { names: ['a:1', 'a@sha256:ab'], sizeBytes: 1 },
    ]);
    const many = Array.from({ length: 80 }, (_, i) => held(`i${i}`, i));
    const sizes = toldOf(many).map(({ sizeBytes }) => sizeBytes);
    assert.deepEqual(
      sizes,
      Array.from({ length: 50 }, (_, i) => 79 - i),
    );
  });

  it('tells a change at once, those that follow together and later, and nothing twice', async () => {
    const clock = new FakeClock();
    const told: number[] = [];
    const images = new NodeImages({ clock, onChange: () => void told.push(images.list?.length ?? -1) });
    assert.equal(images.list, undefined);
    images.held([held('a', 1)]);
    assert.deepEqual(told, [1]);
    images.held([held('a', 1), held('b', 2)]);
    images.held([held('a', 1), held('b', 2), held('c', 3)]);
    await clock.advance(29_000);
    assert.deepEqual(told, [1]);
    await clock.advance(2_000);
    assert.deepEqual(told, [1, 3]);
    images.held([held('c', 3), held('b', 2), held('a', 1)]);
    await clock.advance(60_000);
    assert.deepEqual(told, [1, 3]);
  });

  it('hears of pulls and of tags that moved without another look at the engine', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'troupe-images-'));
    try {
      let lists = 0;
      const heard: unknown[] = [];
      const keeper = new ImageKeeper({
        ...{ clock: new FakeClock(), log: silentLog, file: join(folder, 'images.json') },
        runtime: {
          images: async () => {
            lists += 1;
            return [{ id: 'old', sizeBytes: 7, names: ['app:1'], inUse: false }];
          },
          removeImage: async () => undefined,
        },
        onHeld: (images) => void heard.push([...images].filter(({ names }) => names.length > 0)),
      });
      await keeper.look();
      await keeper.pulled('docker.io/library/app:1', { id: 'new', sizeBytes: 8 }, undefined);
      assert.deepEqual(heard, [[{ names: ['app:1'], sizeBytes: 7 }], [{ names: ['app:1'], sizeBytes: 8 }]]);
      assert.equal(lists, 1);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
