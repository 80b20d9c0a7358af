import { runControllerService } from '../../lib/controller/service.ts';
import { leaseOf, schedulerOptions } from './config.ts';
import { setup } from './setup.ts';

runControllerService('scheduler', schedulerOptions, setup, { lease: leaseOf });
