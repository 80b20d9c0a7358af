import { runControllerService } from '../../lib/controller/service.ts';
import { jobOptions } from './config.ts';
import { setup } from './setup.ts';

runControllerService('job-controller', jobOptions, setup);
