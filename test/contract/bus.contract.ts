import assert from 'node:assert/strict';
import { isApiError } from '../../lib/base/errors.ts';
import type { Bus, BusMessage, Subscription } from '../../lib/bus/bus.ts';
import { until } from '../support/until.ts';

/** One bus server that a test may take away and bring back. */
export interface BusUnderTest {
  /** A new connection; it is there when this resolves. */
  connect(): Promise<Bus>;
  /** Takes the server away from every connection, and brings it back. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Frees everything. */
  remove(): Promise<void>;
}

const message = (subject: string, text = '', headers: Record<string, string> = {}): BusMessage => ({
  subject,
  headers,
  data: Buffer.from(text),
});
const text = (m: BusMessage): string => Buffer.from(m.data).toString();
const hasReason = (reason: string) => (error: unknown) => isApiError(error) && error.reason === reason;

/** Every sentence of EventBus and EventStream, on any implementation. */
export function busContract(name: string, make: () => Promise<BusUnderTest>): void {
  describe(`bus contract: ${name}`, () => {
    let server: BusUnderTest;
    let open: Bus[] = [];
    let run = 0;
    /** A cluster name of its own for each test, so that streams and subjects never meet. */
    let cluster: string;

    const connect = async (): Promise<Bus> => {
      const bus = await server.connect();
      open.push(bus);
      return bus;
    };
    const collect = async (
      bus: Bus,
      subject: string,
    ): Promise<{ got: BusMessage[]; gaps: () => number; sub: Subscription }> => {
      const got: BusMessage[] = [];
      let gaps = 0;
      const sub = bus.subscribe(
        subject,
        (m) => got.push(m),
        () => gaps++,
      );
      await sub.ready;
      return { got, gaps: () => gaps, sub };
    };

    before(async () => {
      server = await make();
    });
    beforeEach(() => {
      cluster = `c${++run}`;
    });
    afterEach(async () => {
      await server.start();
      for (const bus of open) await bus.close();
      open = [];
    });
    after(async () => {
      await server.remove();
    });

    it('delivers in order, with headers and body, to every connection', async () => {
      const [a, b] = [await connect(), await connect()];
      const heardByA = await collect(a, `${cluster}.v1.pods.>`);
      const heardByB = await collect(b, `${cluster}.v1.>`);
      for (let n = 0; n < 500; n++)
        a.publish(message(`${cluster}.v1.pods.-.default.p${n}`, `body ${n}`, { n: String(n) }));
      await a.flush();
      for (const { got } of [heardByA, heardByB]) {
        await until(() => got.length === 500, { what: 'all messages arrive' });
        assert.deepEqual(
          got.map((m) => m.headers['n']),
          Array.from({ length: 500 }, (_, n) => String(n)),
        );
        assert.equal(text(got[7] ?? message('')), 'body 7');
        assert.equal(got[7]?.subject, `${cluster}.v1.pods.-.default.p7`);
      }
    });

    it('matches * to one token and > to one or more', async () => {
      const bus = await connect();
      const star = await collect(bus, `${cluster}.*.x`);
      const rest = await collect(bus, `${cluster}.a.>`);
      for (const tail of ['a.x', 'b.x', 'a.b.x', 'a', 'a.y.z']) bus.publish(message(`${cluster}.${tail}`, tail));
      await until(() => rest.got.length >= 3, { what: 'messages arrive' });
      assert.deepEqual(star.got.map(text), ['a.x', 'b.x']);
      assert.deepEqual(rest.got.map(text), ['a.x', 'a.b.x', 'a.y.z']);
    });

    it('delivers nothing after close', async () => {
      const bus = await connect();
      const closed = await collect(bus, `${cluster}.x`);
      const other = await collect(bus, `${cluster}.x`);
      closed.sub.close();
      closed.sub.close();
      bus.publish(message(`${cluster}.x`));
      await until(() => other.got.length === 1, { what: 'the open subscription hears it' });
      assert.equal(closed.got.length, 0);
    });

    it('takes one answer to a question, and says when nobody listens or nobody answers', async () => {
      const [asking, answering] = [await connect(), await connect()];
      const sub = answering.subscribe(
        `${cluster}.echo`,
        (m) => answering.publish(message(m.reply ?? '', `${text(m)}!`)),
        () => undefined,
      );
      await sub.ready;
      assert.equal(text(await asking.request(`${cluster}.echo`, Buffer.from('hello'), 10_000)), 'hello!');
      await assert.rejects(asking.request(`${cluster}.nobody`, Buffer.alloc(0), 10_000), hasReason('NotFound'));
      await collect(answering, `${cluster}.silent`);
      await assert.rejects(asking.request(`${cluster}.silent`, Buffer.alloc(0), 50), hasReason('Timeout'));
    });

    it('says when the server is away, refuses to publish, and tells of the gap when it is back', async () => {
      const bus = await connect();
      const states: boolean[] = [];
      bus.onStatus((connected) => states.push(connected));
      const { got, gaps } = await collect(bus, `${cluster}.x`);
      await server.stop();
      await until(() => !bus.connected, { what: 'the loss is noticed' });
      assert.throws(() => bus.publish(message(`${cluster}.x`)), hasReason('ServiceUnavailable'));
      await assert.rejects(bus.flush(), hasReason('ServiceUnavailable'));
      await assert.rejects(bus.request(`${cluster}.x`, Buffer.alloc(0), 100), hasReason('ServiceUnavailable'));
      await assert.rejects(bus.stream.lastSequence(), hasReason('ServiceUnavailable'));
      const early = bus.subscribe(
        `${cluster}.y`,
        (m) => got.push(m),
        () => undefined,
      );
      await server.start();
      await early.ready;
      await until(() => bus.connected && gaps() === 1, { what: 'the bus is back and the gap is told' });
      bus.publish(message(`${cluster}.x`, 'again'));
      bus.publish(message(`${cluster}.y`, 'early'));
      await until(() => got.length === 2, { what: 'both subscriptions live' });
      assert.deepEqual(states, [true, false, true]);
    });

    it('closes twice without harm', async () => {
      const bus = await connect();
      await bus.close();
      await bus.close();
      assert.equal(bus.connected, false);
      assert.throws(() => bus.publish(message('x')), hasReason('ServiceUnavailable'));
    });

    describe('stream', () => {
      const bounds = { maxAgeMs: 3_600_000, maxBytes: 10_000_000 };
      /** Brings the stream to the subjects of this test and says where it stands. */
      const ensured = async (bus: Bus): Promise<number> => {
        await bus.stream.ensure({ subjects: [`${cluster}.v1.>`], ...bounds });
        return bus.stream.lastSequence();
      };
      const change = (n: number, node = '-'): BusMessage =>
        message(`${cluster}.v1.pods.${node}.default.p${n}`, `body ${n}`, { n: String(n) });

      it('says that a new stream is empty', async () => {
        const bus = await connect();
        const at = await ensured(bus);
        if (at === 0) assert.equal(await bus.stream.last(), undefined);
        assert.equal(await bus.stream.last(`${cluster}.v1.>`), undefined);
      });

      it('captures what is appended and finds the last by subject, with wildcards', async () => {
        const bus = await connect();
        const at = await ensured(bus);
        const { got } = await collect(bus, `${cluster}.v1.>`);
        assert.equal(await bus.stream.append([change(1), change(2, 'n1'), change(3)], at), at + 3);
        assert.equal(await bus.stream.append([], at + 3), at + 3);
        assert.equal(await bus.stream.lastSequence(), at + 3);
        const last = await bus.stream.last();
        assert.equal(last?.sequence, at + 3);
        assert.deepEqual([text(last.message), last.message.headers['n']], ['body 3', '3']);
        const onNode = await bus.stream.last(`${cluster}.v1.pods.n1.>`);
        assert.deepEqual([onNode?.sequence, onNode && text(onNode.message)], [at + 2, 'body 2']);
        assert.equal(await bus.stream.last(`${cluster}.v1.services.>`), undefined);
        await until(() => got.length === 3, { what: 'subscribers hear what is appended' });
      });

      it('ensures a second time without losing anything', async () => {
        const bus = await connect();
        const at = await ensured(bus);
        await bus.stream.append([change(1)], at);
        assert.equal(await ensured(bus), at + 1);
      });

      it('fences a publisher that expects another sequence', async () => {
        const [a, b] = [await connect(), await connect()];
        const at = await ensured(a);
        await a.stream.append([change(1), change(2)], at);
        await assert.rejects(b.stream.append([change(3)], at), hasReason('Conflict'));
        await assert.rejects(b.stream.append([change(3), change(4)], at + 9), hasReason('Conflict'));
        assert.equal(await b.stream.lastSequence(), at + 2);
        assert.equal(await b.stream.append([change(3)], at + 2), at + 3);
      });

      it('keeps order with many appends under way, and captures none after one that was refused', async () => {
        const bus = await connect();
        const at = await ensured(bus);
        const appends = Array.from({ length: 20 }, (_, n) =>
          bus.stream.append([change(2 * n), change(2 * n + 1)], at + 2 * n),
        );
        assert.deepEqual(
          await Promise.all(appends),
          Array.from({ length: 20 }, (_, n) => at + 2 * n + 2),
        );
        const end = at + 40;
        const refused = await Promise.allSettled([
          bus.stream.append([change(41)], end),
          bus.stream.append([change(42)], end + 7),
          bus.stream.append([change(43)], end + 8),
        ]);
        assert.deepEqual(
          refused.map((r) => r.status),
          ['fulfilled', 'rejected', 'rejected'],
        );
        assert.equal(await bus.stream.lastSequence(), end + 1);
      });

      it('refuses what no stream captures', async () => {
        const bus = await connect();
        const at = await ensured(bus);
        await assert.rejects(
          bus.stream.append([message(`${cluster}.heartbeat.n1`)], at),
          hasReason('ServiceUnavailable'),
        );
      });

      it('keeps what it captured while the server was away', async () => {
        const bus = await connect();
        const at = await ensured(bus);
        await bus.stream.append([change(1)], at);
        await server.stop();
        await until(() => !bus.connected, { what: 'the loss is noticed' });
        await server.start();
        await until(() => bus.connected, { what: 'the bus is back' });
        const last = await until(() => bus.stream.last(), { what: 'the stream is back' });
        assert.deepEqual([last.sequence, text(last.message)], [at + 1, 'body 1']);
      });
    });
  });
}
