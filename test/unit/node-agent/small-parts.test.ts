import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Change } from '../../../lib/view/view.ts';
import type { Pod } from '../../../lib/api/objects.ts';
import { Limit } from '../../../node-agent/limit.ts';
import { nodeStatus, type Health } from '../../../node-agent/node/node-status.ts';
import { podSources } from '../../../node-agent/pod-source.ts';
import { infraProgram } from '../../../node-agent/runtime/infra-image.ts';
import { unframed } from '../../../node-agent/runtime/log-frames.ts';
import { createOptions, ownLabels } from '../../../node-agent/runtime/docker-options.ts';
import { aNode, aPod, epochMs } from '../../support/builders.ts';
import { aMachine } from './harness.ts';

describe('node-agent/limit', () => {
  it('lets so many work at one time, in order, and goes on after a failure', async () => {
    const limit = new Limit(2);
    let running = 0;
    const order: number[] = [];
    const work = async (n: number): Promise<void> => {
      assert.ok(++running <= 2);
      await new Promise((resolve) => setImmediate(resolve));
      order.push(n);
      running--;
      if (n === 1) throw new Error('one');
    };
    const all = await Promise.allSettled([0, 1, 2, 3, 4].map((n) => limit.run(() => work(n))));
    assert.deepEqual(order, [0, 1, 2, 3, 4]);
    assert.equal(all.filter(({ status }) => status === 'rejected').length, 1);
  });

  it('lets what goes on before what begins, and says when nothing is left', async () => {
    const limit = new Limit(1);
    const order: string[] = [];
    const work = (name: string) => async (): Promise<void> => {
      await new Promise((resolve) => setImmediate(resolve));
      order.push(name);
    };
    const all = [
      limit.run(work('first'), 'begins'),
      limit.run(work('second'), 'begins'),
      limit.run(work('start of first')),
      limit.run(work('third'), 'begins'),
      limit.run(work('stop')),
    ];
    await limit.whenIdle();
    assert.deepEqual(order, ['first', 'start of first', 'stop', 'second', 'third']);
    assert.equal(limit.running, 0);
    await Promise.all([...all, limit.whenIdle()]);
  });
});

describe('node-agent/log-frames', () => {
  it('takes the frames out, however the stream is cut', async () => {
    const frame = (text: string): Buffer => {
      const header = Buffer.alloc(8);
      header[0] = 1;
      header.writeUInt32BE(Buffer.byteLength(text), 4);
      return Buffer.concat([header, Buffer.from(text)]);
    };
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ maxLength: 40 }), { maxLength: 8 }),
        fc.array(fc.nat(60), { maxLength: 20 }),
        async (lines, cuts) => {
          const bytes = Buffer.concat(lines.map(frame));
          const ends = [...new Set([...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length])].sort(
            (a, b) => a - b,
          );
          async function* source(): AsyncIterable<Uint8Array> {
            let from = 0;
            for (const end of ends) {
              yield bytes.subarray(from, end);
              from = end;
            }
          }
          let text = '';
          const parts: Buffer[] = [];
          for await (const part of unframed(source())) parts.push(Buffer.from(part));
          text = Buffer.concat(parts).toString('utf8');
          assert.equal(text, lines.join(''));
        },
      ),
    );
  });
});

describe('node-agent/infra-image', () => {
  for (const [arch, machine] of [
    ['x64', 62],
    ['arm64', 183],
  ] as const) {
    it(`is a well-formed program for ${arch}`, () => {
      const program = infraProgram(arch);
      assert.deepEqual([...program.subarray(0, 5)], [0x7f, 0x45, 0x4c, 0x46, 2]);
      assert.equal(program.readUInt16LE(18), machine);
      assert.equal(Number(program.readBigUInt64LE(24)), 0x400078);
      assert.equal(Number(program.readBigUInt64LE(96)), program.length);
      assert.ok(program.length < 512);
    });
  }
});

describe('node-agent/docker-options', () => {
  const context = { labels: ownLabels('c', 'n'), ownInfraImage: 'troupe/infra:1', mayLowerOomScore: false };
  const base = { name: 'x', labels: {}, env: [], mounts: [] };
  it('gives our own infra container the right to make a namespace and nothing more', () => {
    const { HostConfig, Cmd } = createOptions({ ...base, image: 'troupe/infra:1' }, context);
    assert.deepEqual(
      [HostConfig?.NetworkMode, HostConfig?.CapDrop, HostConfig?.CapAdd, HostConfig?.ReadonlyRootfs, Cmd],
      ['host', ['ALL'], ['SYS_ADMIN'], true, []],
    );
  });
  it('gives it no right on the host network, and tells it to make none', () => {
    const { HostConfig, Cmd, Labels } = createOptions({ ...base, image: 'troupe/infra:1', hostNetwork: true }, context);
    assert.deepEqual([HostConfig?.CapAdd, Cmd, Labels?.['troupe.network']], [undefined, ['host'], 'host']);
  });
  it('lets another infra image have the engine make its namespace', () => {
    assert.equal(createOptions({ ...base, image: 'other/pause:1' }, context).HostConfig?.NetworkMode, 'none');
  });
  it('joins a container to its sandbox, and asks for no OOM score that it cannot have', () => {
    const { HostConfig } = createOptions(
      { ...base, image: 'app', sandboxId: 's', oomScoreAdj: -997, memoryBytes: 1, cpuQuotaMicros: 5 },
      context,
    );
    assert.deepEqual(
      [
        HostConfig?.NetworkMode,
        HostConfig?.IpcMode,
        HostConfig?.OomScoreAdj,
        HostConfig?.MemorySwap,
        HostConfig?.CpuPeriod,
      ],
      ['container:s', 'container:s', 0, 1, 100_000],
    );
  });
});

describe('node-agent/node-status', () => {
  const well: Health = {
    engine: undefined,
    network: undefined,
    memory: undefined,
    disk: undefined,
    processes: undefined,
  };
  const bare = { ...aNode(), status: {} };
  const ready = (health: Health): string | undefined =>
    nodeStatus(bare, aMachine(), health, epochMs).conditions?.find((c) => c.type === 'Ready')?.status;

  it('is the same object when nothing is to be said', () => {
    const once = { ...bare, status: nodeStatus(bare, aMachine(), well, epochMs) };
    assert.equal(nodeStatus(once, aMachine(), well, epochMs + 3_600_000), once.status);
  });
  it('is not ready without an engine or without addresses, and says why', () => {
    assert.equal(ready(well), 'True');
    assert.equal(ready({ ...well, engine: 'away' }), 'False');
    assert.equal(ready({ ...well, network: 'no range' }), 'False');
    assert.equal(ready({ ...well, memory: 'low' }), 'True');
  });
});

describe('node-agent/pod-source', () => {
  it('tells each node of its own pods only, out of one view', () => {
    const listeners: ((change: Change<Pod>) => void)[] = [];
    const view = { onChange: (listener: (change: Change<Pod>) => void) => listeners.push(listener) };
    const of = podSources(view as never);
    const heard: string[] = [];
    for (const node of ['n1', 'n2'])
      of(node).onChange(({ after }) => heard.push(`${node} ${after === undefined ? 'gone' : 'there'}`));
    const tell = (before: Pod | undefined, after: Pod | undefined): void => {
      for (const listener of listeners) listener({ key: 'default/web-1', before, after });
    };
    tell(undefined, aPod());
    tell(aPod(), aPod({ nodeName: 'n1' }));
    tell(aPod({ nodeName: 'n1' }), aPod({ nodeName: 'n1', phase: 'Failed' }));
    tell(aPod({ nodeName: 'n1' }), undefined);
    tell(aPod({ nodeName: 'n1' }), aPod({ nodeName: 'n2' })); // another pod of the same name, and nothing heard in between
    assert.deepEqual(heard, ['n1 there', 'n1 there', 'n1 gone', 'n1 gone', 'n2 there']);
  });
});
