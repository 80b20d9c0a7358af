import { runControllerService } from '../../lib/controller/service.ts';
import { rebalancerOptions } from './config.ts';
import { setup } from './setup.ts';

runControllerService('rebalancer', rebalancerOptions, setup);
