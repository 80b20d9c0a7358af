import assert from 'node:assert/strict';
import type { EffectsReply, EffectState } from '../../../lib/api/effects.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { aService } from '../../support/builders.ts';
import { FakeClient, troupe } from './run.ts';

const state = (part: string, node: string, more: Partial<EffectState> = {}): EffectState => ({
  ...{ part, node, instance: node, mode: 'nftables', servicesRevision: 4, endpointsRevision: 12 },
  ...{ behindMs: 0, services: 3, drift: 0, ...more },
});
const port = { frontends: ['10.96.0.7:80/TCP', '*:30080/TCP'], backends: ['10.244.0.5:8080'], count: 1 };
const six = { frontends: ['10.96.0.7:80/TCP'], backends: ['a:1', 'b:1', 'c:1', 'd:1', 'e:1', 'f:1'], count: 106 };
const reply: EffectsReply = {
  ...{ serviceRevision: '4', endpointsRevision: '12' },
  states: [
    state('proxy', 'n1', { service: { serviceRevision: '4', endpointsRevision: '12', ports: [port] } }),
    state('proxy', 'n2', {
      ...{ behindMs: 40, drift: 2 },
      service: { serviceRevision: '4', endpointsRevision: '9', ports: [six, { frontends: ['x'], count: 0 }] },
    }),
    state('dns', 'n1', { mode: '10.96.0.10:53' }),
  ],
  silent: [{ node: 'n3', message: 'no answer' }],
};

describe('cli: proxies', () => {
  let client: FakeClient;
  const asked: unknown[] = [];
  beforeEach(() => {
    client = new FakeClient();
    asked.length = 0;
    client.answers.set('troupe.v1.Effects/List', (request) => {
      asked.push(request);
      return reply;
    });
  });
  const table = [
    'PART    NODE   MODE            STATE                                                                               LEADS TO',
    'proxy   n1     nftables        up to date                                                                          10.96.0.7:80/TCP *:30080/TCP -> 10.244.0.5:8080',
    'proxy   n2     nftables        behind: has revisions 4 and 9, not 4 and 12, changes wait since 40 ms, 2 differences mended   10.96.0.7:80/TCP -> a:1 b:1 c:1 d:1 and 102 more',
    'x -> nothing',
    'dns     n1     10.96.0.10:53   does not know it                                                                    -',
    'proxy   n3     -               no answer                                                                           -',
  ].map((line) => line.replaceAll(/ {2,}/g, '  '));
  const cells = (text: string): string[] =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => line.trim().replaceAll(/ {2,}/g, '  '));

  it('shows what each has for a Service, who is behind and who is silent', async () => {
    const { code, out } = await troupe(client, 'proxies svc/web');
    assert.equal(code, 0);
    assert.deepEqual(cells(out), table);
    assert.deepEqual(asked, [{ namespace: 'default', name: 'web', timeoutMs: 1_000 }]);
  });

  it('shows the same where a Service is described', async () => {
    client.put('services', aService({ name: 'web' }));
    const { out } = await troupe(client, 'describe service web');
    const lines = cells(out);
    const at = lines.findIndex((line) => line.startsWith('In effect:'));
    assert.deepEqual([lines[at]?.replace('In effect:  ', ''), ...lines.slice(at + 1, at + table.length)], table);
  });

  it('describes the rest where nobody can be asked', async () => {
    client.answers.set('troupe.v1.Effects/List', () => {
      throw new ApiError('ServiceUnavailable', 'the bus is away');
    });
    client.put('services', aService({ name: 'web' }));
    const { code, out } = await troupe(client, 'describe service web');
    assert.equal(code, 0);
    assert.match(out, /^In effect: +not known: the bus is away$/m);
  });

  it('shows how far all are without a name', async () => {
    const { out } = await troupe(client, 'proxies --timeout 50');
    assert.deepEqual(cells(out).slice(0, 3), [
      'PART  NODE  MODE  SERVICES  REVISIONS  STATE',
      'proxy  n1  nftables  3  4/12  at rest',
      'proxy  n2  nftables  3  4/12  changes wait since 40 ms, 2 differences mended',
    ]);
    assert.deepEqual(asked, [{ timeoutMs: 50 }]);
  });

  it('gives it to programs', async () => {
    const { out } = await troupe(client, 'proxies web -o json');
    const said = JSON.parse(out) as EffectsReply & { readonly kind: string };
    assert.equal(said.kind, 'Effects');
    assert.deepEqual(said.states, reply.states);
  });

  for (const [line, says] of [
    ['proxies pod/web', /name a Service/],
    ['proxies --timeout 0', /milliseconds from 1 to 5000/],
  ] as const) {
    it(`refuses ${line}`, async () => {
      const { code, err } = await troupe(client, line);
      assert.equal(code, 2);
      assert.match(err, says);
    });
  }
});
