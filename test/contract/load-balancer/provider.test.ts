import { HaproxyHost, whyNoHaproxy } from '../../support/haproxy-host.ts';
import { MemoryBalancers } from '../../support/memory-balancers.ts';
import { poolOf, providerContract } from './provider.contract.ts';

providerContract('MemoryBalancers', () => {
  const provider = new MemoryBalancers(poolOf());
  return Promise.resolve({
    provider,
    backends: ['10.244.0.2:80', '10.244.0.3:80', '10.244.0.4:80'],
    connect: (address, port, client) => provider.connect(address, port, client),
    stop: () => Promise.resolve(),
  });
});

const why = whyNoHaproxy();
if (why === undefined) providerContract('Haproxy', () => HaproxyHost.start(poolOf()));
else console.warn(`load-balancer provider: Haproxy skipped: ${why}`);
