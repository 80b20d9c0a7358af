import { runControllerService } from '../../lib/controller/service.ts';
import { schedulerOptions } from './config.ts';
import { setup } from './setup.ts';

runControllerService('scheduler', schedulerOptions, setup);
