import { proxyContract } from './proxy.contract.ts';

proxyContract({ kind: 'nftables', keepsSource: true, outlivesProcess: true, holdsOff: 'at pods too' });
for (const command of ['iptables-nft', 'iptables-legacy'] as const)
  proxyContract(
    { kind: 'iptables', command, keepsSource: true, outlivesProcess: true, holdsOff: 'at pods too' },
    command,
  );
proxyContract({ kind: 'userspace', keepsSource: false, outlivesProcess: false, holdsOff: 'at services' });
proxyContract(
  { kind: 'nftables', staged: true, keepsSource: false, outlivesProcess: false, holdsOff: 'at pods too' },
  'userspace behind nftables',
);
