import assert from 'node:assert/strict';
import { trace } from '@opentelemetry/api';
import type { Endpoints, Namespace, Service } from '../../../lib/api/objects.ts';
import { Names } from '../../../services/dns/names.ts';
import { aNamespace, aService, anEndpoints } from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { FakeView } from '../../support/fake-view.ts';
import { until } from '../../support/until.ts';

/** A view that can change without telling anybody. */
class ForgetfulView<T extends Service | Endpoints> extends FakeView<T> {
  silent = false;
  override onChange(listener: Parameters<FakeView<T>['onChange']>[0]): () => void {
    return super.onChange((change) => {
      if (!this.silent) listener(change);
    });
  }
}

describe('dns/names', () => {
  let services: ForgetfulView<Service>;
  let endpoints: ForgetfulView<Endpoints>;
  let namespaces: FakeView<Namespace>;
  let clock: FakeClock;
  let names: Names;
  let stop: () => void;
  /** The revision of Endpoints up to which the view is complete. */
  let known = 6;
  const checked: (readonly string[])[] = [];

  beforeEach(() => {
    checked.length = 0;
    services = new ForgetfulView();
    endpoints = new ForgetfulView();
    namespaces = new FakeView();
    clock = new FakeClock();
    names = new Names({
      ...{ services, endpoints, namespaces, domain: 'cluster.local', ttl: 5, clock, tracer: trace.getTracer('test') },
      position: () => ({ epoch: 'e', services: 5, endpoints: known }),
      ...{ checkMs: 30_000, random: () => 0.5, onChecked: (_seconds, differences) => checked.push(differences) },
    });
    services.wrote(aService({ name: 'web', resourceVersion: '4' }));
    services.wrote(aService({ name: 'db', clusterIP: 'None', resourceVersion: '5' }));
    endpoints.wrote(anEndpoints({ name: 'db', ips: ['10.244.0.1'], resourceVersion: '6' }));
    stop = names.start();
  });
  afterEach(() => stop());

  const addresses = (name: string): readonly string[] => {
    const found = names.zone?.lookup(`${name}.default.svc.cluster.local`, 'A');
    return found?.kind === 'found' ? found.records.map((each) => (each.type === 'A' ? each.address : '?')) : [];
  };

  it('finds nothing where all is as it should be', async () => {
    await clock.advance(30_000);
    await until(() => checked.length === 1, { what: 'a check' });
    assert.deepEqual(checked, [[]]);
  });

  it('finds what it has missed, says what it was and mends it', async () => {
    services.silent = endpoints.silent = true;
    endpoints.wrote(anEndpoints({ name: 'db', ips: ['10.244.0.2'], resourceVersion: '7' }));
    services.wroteDeletion(aService({ name: 'web' }));
    services.wrote(aService({ name: 'new', clusterIP: '10.96.0.30' }));
    assert.deepEqual(addresses('db'), ['10.244.0.1']);
    await clock.advance(30_000);
    await until(() => checked.length === 1, { what: 'a check' });
    assert.deepEqual(checked[0]?.toSorted(), [
      'default/db with 10-244-0-1=10.244.0.1 where 10-244-0-2=10.244.0.2 is wanted',
      'missing: names of default/new',
      'not wanted: names of default/web',
    ]);
    assert.deepEqual([addresses('db'), addresses('web'), addresses('new')], [['10.244.0.2'], [], ['10.96.0.30']]);
    assert.equal(names.effect().drift, 3);
    assert.deepEqual(await names.check(), []);
  });

  it('knows namespaces as they come and go', async () => {
    namespaces.wrote(aNamespace({ name: 'prod' }));
    await until(() => names.zone?.hasNamespace('prod'), { what: 'the namespace' });
    namespaces.wroteDeletion(aNamespace({ name: 'prod' }));
    await until(() => names.zone?.hasNamespace('prod') === false, { what: 'it is gone' });
    assert(names.zone?.hasNamespace('default'), 'there are services in it');
  });

  it('tells up to where it answers, once a change is in the zone and not before', async () => {
    const told: number[] = [];
    names.onProgrammed(() => told.push(names.programmed.endpoints));
    assert.deepEqual(names.programmed, { epoch: 'e', services: 5, endpoints: 6 });
    known = 9;
    endpoints.wrote(anEndpoints({ name: 'db', ips: ['10.244.0.9'], resourceVersion: '9' }));
    assert.equal(names.programmed.endpoints, 6);
    await until(() => told.length > 0, { what: 'the word' });
    assert.deepEqual(told, [9]);
    assert.deepEqual(addresses('db'), ['10.244.0.9']);
    known = 6;
  });

  it('tells what it answers from', () => {
    assert.deepEqual(names.effect('default/db'), {
      ...{ behindMs: 0, services: 2, drift: 0 },
      service: {
        ...{ serviceRevision: '5', endpointsRevision: '6' },
        ports: [{ frontends: ['db.default.svc.cluster.local'], backends: ['10.244.0.1'], count: 1 }],
      },
    });
    assert.equal(names.effect('default/nothing').service, undefined);
  });
});
