import assert from 'node:assert/strict';
import { filtersWith, flowsOf, selectionsFor, selectionsTo } from '../../../services/proxy/kernel/conntrack.ts';
import type { Flow } from '../../../services/proxy/kernel/flow.ts';
import { readFlows } from '../../../services/proxy/kernel/flow-messages.ts';
import { readToolFlow } from '../../../services/proxy/kernel/flows.ts';

const open =
  'tcp      6 99 ESTABLISHED src=10.0.0.1 dst=10.96.0.1 sport=1000 dport=80 src=10.244.0.1 dst=10.0.0.1 sport=8080 dport=1000 [ASSURED] mark=1409286147 use=1';
const datagrams =
  'udp      17 29 src=10.0.0.1 dst=10.96.0.10 sport=1000 dport=53 [UNREPLIED] src=10.244.0.7 dst=10.0.0.1 sport=5353 dport=1000 mark=0 use=1';
const opening =
  'tcp      6 119 SYN_SENT src=10.0.0.2 dst=192.0.2.1 sport=1001 dport=30080 [UNREPLIED] src=10.244.0.1 dst=10.0.0.2 sport=8080 dport=1001 mark=1426063362 use=1';

function flowOf(line: string): Flow {
  const flow = readToolFlow(line);
  assert(flow !== undefined);
  return flow;
}

describe('proxy/conntrack', () => {
  it('reads what the tool lists', () => {
    const { tuple: _, ...flow } = flowOf(open);
    assert.deepEqual(flow, {
      protocol: 'tcp',
      client: { ip: '10.0.0.1', port: 1000 },
      ...{ address: '10.96.0.1', port: 80, backend: '10.244.0.1:8080' },
      ...{ opening: false, answered: true, isOurs: true },
    });
    const { opening: isOpening, answered, isOurs } = flowOf(opening);
    assert.deepEqual({ isOpening, answered, isOurs }, { isOpening: true, answered: false, isOurs: true });
    assert.equal(flowOf(datagrams).isOurs, false);
    const ping = 'icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=1 src=10.0.0.2 dst=10.0.0.1 type=0 mark=0';
    for (const line of ['', ping]) assert.equal(readToolFlow(line), undefined);
  });

  const flows = [open, datagrams, opening].map(flowOf);
  const frontend = (address: string, port: number, protocol: 'TCP' | 'UDP' = 'TCP') => ({
    ...{ address, port, protocol },
    target: 'x',
  });
  const cases = [
    { it: 'by its address and backend', filter: { frontend: frontend('10.96.0.1', 80), backend: '10.244.0.1:8080' } },
    { it: 'by a node port', filter: { frontend: frontend('*', 30080), backend: '10.244.0.1:8080' }, want: [opening] },
    { it: 'by its address alone', filter: { frontend: frontend('10.96.0.10', 53, 'UDP') }, want: [datagrams] },
    { it: 'not of another backend', filter: { frontend: frontend('*', 80), backend: '10.244.0.2:8080' }, want: [] },
    { it: 'not of another protocol', filter: { frontend: frontend('10.96.0.1', 80, 'UDP' as const) }, want: [] },
  ];
  for (const { it: name, filter, want = [open] } of cases)
    it(`picks flows ${name}`, () => {
      assert.deepEqual(flowsOf([filter], flows), want.map(flowOf));
      assert.deepEqual(filtersWith([filter], flows), want.length > 0 ? [filter] : []);
    });

  it('asks the kernel for a few backends one by one, and for all flows when there are many', () => {
    const of = (count: number) =>
      Array.from({ length: count }, (_, i) => ({ frontend: frontend('*', 80), backend: `10.244.0.${i % 50}:80` }));
    assert.deepEqual(selectionsFor(of(2)), [
      { ours: true, backendIp: '10.244.0.0' },
      { ours: true, backendIp: '10.244.0.1' },
    ]);
    assert.deepEqual(selectionsFor(of(40)), [{ ours: true }]);
    assert.deepEqual(selectionsFor([{ frontend: frontend('*', 80, 'UDP') }]), [{ protocol: 'udp' }]);
    assert.deepEqual(selectionsTo([]), []);
  });

  it('takes no list for whole that the kernel has not ended', () => {
    assert.throws(() => readFlows(Buffer.alloc(0), {}), /did not list all/);
  });
});
