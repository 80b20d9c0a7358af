import { runControllerService } from '../../lib/controller/service.ts';
import { daemonOptions } from './config.ts';
import { setup } from './setup.ts';

runControllerService('daemonset-controller', daemonOptions, setup);
