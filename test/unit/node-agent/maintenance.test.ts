import assert from 'node:assert/strict';
import { maintenanceAnnotation } from '../../../lib/api/maintenance.ts';
import { AgentHarness } from './harness.ts';

describe('node-agent/maintenance', () => {
  let h: AgentHarness;
  beforeEach(async () => {
    h = await AgentHarness.start();
  });
  afterEach(() => h.stop());

  const at = '2026-06-01T22:00:00Z';
  const plan = async (moment: string | null): Promise<void> => {
    await h.client.patch('nodes', 'n1', { metadata: { annotations: { [maintenanceAnnotation]: moment } } });
  };
  const noticeOf = async (name: string): Promise<string | undefined> =>
    (await h.pod(name)).metadata.annotations?.[maintenanceAnnotation];
  const untilNotice = (name: string, notice: string | undefined): Promise<number> =>
    h.until(`pod ${name} says ${notice ?? 'nothing'}`, async () => (await noticeOf(name)) === notice);

  it('tells every pod of its node, once, those that come later too, and takes it back', async () => {
    await h.createPod('web', { terminationGracePeriodSeconds: 12 });
    await h.untilRunning('web');
    await plan(at);
    await untilNotice('web', at);
    await h.createPod('late');
    await untilNotice('late', at);
    await h.clock.advance(10_000);
    const told = h.told
      .filter(({ reason }) => reason === 'NodeMaintenance')
      .map(({ about, message }) => [about.name, message]);
    const words = (grace: number): string =>
      `node n1 goes into maintenance at ${at}: then the pod is asked to end (SIGTERM) and gets ${grace} s`;
    assert.deepEqual(told, [
      ['web', words(12)],
      ['late', words(30)],
    ]);
    await plan(null);
    await untilNotice('web', undefined);
    await untilNotice('late', undefined);
    assert.equal((await h.untilRunning('web')).status.containerStatuses?.[0]?.restartCount, 0);
  });

  it('goes on after its own restart, and tells nothing twice', async () => {
    await h.createPod('web');
    await h.untilRunning('web');
    await plan(at);
    await untilNotice('web', at);
    await h.restartAgent(() => plan('2026-06-02T22:00:00Z'));
    await untilNotice('web', '2026-06-02T22:00:00Z');
    await h.clock.advance(5_000);
    assert.equal(h.told.filter(({ reason }) => reason === 'NodeMaintenance').length, 2);
  });
});
