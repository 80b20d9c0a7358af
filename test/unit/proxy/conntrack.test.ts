import assert from 'node:assert/strict';
import { keysOfFlow } from '../../../services/proxy/conntrack.ts';

describe('proxy/conntrack', () => {
  const cases = [
    {
      it: 'reads an open TCP flow',
      line: 'tcp      6 99 ESTABLISHED src=10.0.0.1 dst=10.96.0.1 sport=1000 dport=80 src=10.244.0.1 dst=10.0.0.1 sport=8080 dport=1000 [ASSURED] mark=1409286147 use=1',
      want: ['tcp 10.96.0.1 80 10.244.0.1:8080', 'tcp 10.96.0.1 80 ', 'tcp * 80 10.244.0.1:8080', 'tcp * 80 '],
    },
    {
      it: 'reads a UDP flow that nobody has answered',
      line: 'udp      17 29 src=10.0.0.1 dst=10.96.0.10 sport=1000 dport=53 [UNREPLIED] src=10.244.0.7 dst=10.0.0.1 sport=5353 dport=1000 mark=0 use=1',
      want: ['udp 10.96.0.10 53 10.244.0.7:5353', 'udp 10.96.0.10 53 ', 'udp * 53 10.244.0.7:5353', 'udp * 53 '],
    },
    {
      it: 'leaves out what has no ports',
      line: 'icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=1 src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=1 mark=0 use=1',
      want: [],
    },
    { it: 'leaves out an empty line', line: '', want: [] },
  ];
  for (const c of cases) it(c.it, () => assert.deepEqual(keysOfFlow(c.line), c.want));
});
