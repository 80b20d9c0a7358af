import { runControllerService } from '../../lib/controller/service.ts';
import { setup } from './setup.ts';

runControllerService('deployment-controller', {}, setup);
