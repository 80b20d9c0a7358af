import assert from 'node:assert/strict';
import { aDoor, closeDoors, type ADoor } from './a-door.ts';

interface Change {
  readonly type: string;
  readonly object: {
    readonly kind: string;
    readonly metadata: {
      readonly name?: string;
      readonly resourceVersion: string;
      readonly annotations?: Record<string, string>;
    };
    readonly reason?: string;
    readonly code?: number;
  };
}

const maps = '/api/v1/namespaces/default/configmaps';

/** The changes of a watch one by one, until the test has seen enough. */
async function* follow(door: ADoor, query: string, headers: Record<string, string> = {}): AsyncGenerator<Change> {
  const stop = new AbortController();
  try {
    const reply = await fetch(`${door.url}${maps}?watch=true&${query}`, { signal: stop.signal, headers });
    assert.equal(reply.status, 200);
    let text = '';
    for await (const part of reply.body ?? []) {
      text += Buffer.from(part as Uint8Array).toString('utf8');
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        yield JSON.parse(text.slice(0, end)) as Change;
        text = text.slice(end + 1);
      }
    }
  } finally {
    stop.abort();
  }
}

async function take(changes: AsyncGenerator<Change>, count: number): Promise<readonly Change[]> {
  const taken: Change[] = [];
  while (taken.length < count) {
    const next = await changes.next();
    if (next.done === true) break;
    taken.push(next.value);
  }
  return taken;
}
const told = (changes: readonly Change[]): readonly string[] =>
  changes.map(({ type, object }) => `${type} ${object.metadata.name ?? ''}`.trim());

describe('apiserver/rest: watch', () => {
  let door: ADoor;
  const put = async (name: string, more: object = {}): Promise<string> => {
    const made = await door.ask<{ metadata: { resourceVersion: string } }>('POST', maps, {
      metadata: { name, ...more },
    });
    return made.json.metadata.resourceVersion;
  };
  beforeEach(async () => {
    door = await aDoor();
  });
  afterEach(closeDoors);

  it('tells what is there first, then what comes', async () => {
    await put('a');
    const changes = follow(door, '');
    assert.deepEqual(told(await take(changes, 1)), ['ADDED a']);
    await put('b');
    await door.ask('DELETE', `${maps}/a`);
    assert.deepEqual(told(await take(changes, 2)), ['ADDED b', 'DELETED a']);
    await changes.return(undefined);
  });

  it('goes on from a version, missing nothing', async () => {
    const version = await put('a');
    await put('b');
    await put('c');
    const changes = follow(door, `resourceVersion=${version}`);
    assert.deepEqual(told(await take(changes, 2)), ['ADDED b', 'ADDED c']);
    await changes.return(undefined);
  });

  it('tells what starts to match as added and what stops as deleted', async () => {
    await put('a', { labels: { x: '1' } });
    const changes = follow(door, 'labelSelector=x%3D1');
    await take(changes, 1);
    const merge = { 'content-type': 'application/merge-patch+json' };
    await door.ask('PATCH', `${maps}/a`, { metadata: { labels: { x: '2' } } }, merge);
    await door.ask('PATCH', `${maps}/a`, { metadata: { labels: { x: '1' } } }, merge);
    assert.deepEqual(told(await take(changes, 2)), ['DELETED a', 'ADDED a']);
    await changes.return(undefined);
  });

  it('marks the end of what was there when asked to', async () => {
    await put('a');
    const query = 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
    const changes = follow(door, query);
    const [first, mark] = await take(changes, 2);
    assert.deepEqual([first?.type, mark?.type], ['ADDED', 'BOOKMARK']);
    assert.deepEqual(mark?.object.metadata.annotations, { 'k8s.io/initial-events-end': 'true' });
    assert.equal(mark?.object.kind, 'ConfigMap');
    await changes.return(undefined);
  });

  it('ends after its time', async () => {
    await put('a');
    assert.deepEqual(told(await take(follow(door, 'timeoutSeconds=1'), 5)), ['ADDED a']);
  });

  it('tells of a version that is yet to come as an error of the kind Expired', async () => {
    const [change] = await take(follow(door, 'resourceVersion=999999'), 1);
    assert.deepEqual([change?.type, change?.object.reason, change?.object.code], ['ERROR', 'Expired', 410]);
  });

  it('refuses a selector that cannot be read before it begins', async () => {
    assert.equal((await door.ask('GET', `${maps}?watch=true&labelSelector=a%20b%20c`)).status, 400);
    assert.equal((await door.ask('GET', `${maps}?watch=true&sendInitialEvents=true`)).status, 400);
  });

  it('tells as tables, a row a change', async () => {
    await put('a');
    const changes = follow(door, '', { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' });
    const [first] = await take(changes, 1);
    const table = first?.object as unknown as { kind: string; rows: readonly { cells: readonly string[] }[] };
    assert.deepEqual([table.kind, table.rows.map(({ cells }) => cells.slice(0, 2))], ['Table', [['a', '0']]]);
    await changes.return(undefined);
  });
});
