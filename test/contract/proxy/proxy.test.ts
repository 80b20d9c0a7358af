import { proxyContract } from './proxy.contract.ts';

proxyContract({ kind: 'nftables', keepsSource: true, outlivesProcess: true });
proxyContract({ kind: 'userspace', keepsSource: false, outlivesProcess: false });
