import { runControllerService } from '../../lib/controller/service.ts';
import { loadBalancerOptions } from './config.ts';
import { setup } from './setup.ts';

runControllerService('load-balancer-controller', loadBalancerOptions, setup);
