import { runControllerService } from '../../lib/controller/service.ts';
import { nodeControllerOptions } from './config.ts';
import { setup } from './setup.ts';

runControllerService('node-controller', nodeControllerOptions, setup);
