import assert from 'node:assert/strict';
import type { Node } from '../../../lib/api/objects.ts';
import { declaredAnnotation, parseResources } from '../../../node-agent/node/declared.ts';
import { nodeAnnotations, nodeStatus, type Health } from '../../../node-agent/node/node-status.ts';
import { aNode, epochMs } from '../../support/builders.ts';
import { aMachine } from './harness.ts';

const well: Health = {
  engine: undefined,
  network: undefined,
  memory: undefined,
  disk: undefined,
  processes: undefined,
};

describe('node-agent/declared', () => {
  it('reads names and whole numbers', () => {
    assert.deepEqual(parseResources(' example.com/gpu=2, example.com/ssd=1k '), {
      'example.com/gpu': 2,
      'example.com/ssd': 1000,
    });
    assert.deepEqual(parseResources(''), {});
  });

  const bad = [
    ['gpu=1', /"gpu=1": must be <domain>\/<name>=<number>/],
    ['kubernetes.io/gpu=1', /not of kubernetes\.io/],
    ['example.com/gpu', /"" must be a whole number/],
    ['example.com/gpu=0.5', /"0\.5" must be a whole number/],
    ['example.com/gpu=-1', /zero or more/],
    ['example.com/gpu=1,example.com/gpu=2', /given twice/],
    ['example.com/g pu=1', /a space/],
  ] as const;
  for (const [text, message] of bad) it(`refuses ${text}`, () => assert.throws(() => parseResources(text), message));

  /** The node after its agent has looked at it so often that nothing is left to say. */
  const settled = (node: Node, declared: Readonly<Record<string, number>>): Node => {
    const machine = { ...aMachine(), declared };
    for (let i = 0; i < 5; i++) {
      const annotations = { ...node.metadata.annotations, ...nodeAnnotations(machine, node) };
      node = { ...node, metadata: { ...node.metadata, annotations } };
      node = { ...node, status: nodeStatus(node, machine, well, epochMs) };
    }
    return node;
  };
  const amounts = ({ status }: Node): unknown =>
    [status.capacity, status.allocatable].map((list) =>
      Object.fromEntries(Object.entries(list ?? {}).filter(([name]) => name.includes('/'))),
    );

  it('tells what was declared, as capacity and as what pods may ask for, and takes it back', () => {
    const node = settled(aNode(), { 'example.com/gpu': 2 });
    assert.deepEqual(amounts(node), [{ 'example.com/gpu': '2' }, { 'example.com/gpu': '2' }]);
    assert.equal(node.metadata.annotations?.[declaredAnnotation], 'example.com/gpu');
    const changed = settled(node, { 'example.com/ssd': 1 });
    assert.deepEqual(amounts(changed), [{ 'example.com/ssd': '1' }, { 'example.com/ssd': '1' }]);
    const none = settled(changed, {});
    assert.deepEqual(amounts(none), [{}, {}]);
    assert.equal(none.metadata.annotations?.[declaredAnnotation], '');
  });

  it('leaves what others wrote into the capacity, and lets pods ask for it', () => {
    const patched = aNode();
    const status = { ...patched.status, capacity: { ...patched.status.capacity, 'example.com/dongle': '3' } };
    const node = settled({ ...patched, status }, { 'example.com/gpu': 1 });
    const want = { 'example.com/dongle': '3', 'example.com/gpu': '1' };
    assert.deepEqual(amounts(node), [want, want]);
    assert.deepEqual(amounts(settled(node, {})), [{ 'example.com/dongle': '3' }, { 'example.com/dongle': '3' }]);
  });

  it('says nothing of it on a node that has none', () => {
    assert.deepEqual(nodeAnnotations(aMachine(), aNode()), {});
  });
});
