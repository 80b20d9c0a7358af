import { DeviceAddresses } from '../../../services/load-balancer-controller/addresses.ts';
import { announce } from '../../../services/load-balancer-controller/announce.ts';
import { serveRequests } from '../../support/netns-requests.ts';

/** The addresses of a load balancer's machine, in a process of their own inside its network. */
const announced: Promise<void>[] = [];
const addresses = new DeviceAddresses('lo', 'test', (ip) => announced.push(announce(ip)));

serveRequests({
  /** Resolves when the neighbours have been told. */
  async add({ ip }: { readonly ip: string }) {
    await addresses.add(ip);
    await Promise.all(announced);
  },
});
