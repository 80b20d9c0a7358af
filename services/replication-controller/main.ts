import { runControllerService } from '../../lib/controller/service.ts';
import { replicationOptions } from './config.ts';
import { setup } from './setup.ts';

runControllerService('replication-controller', replicationOptions, setup);
