import { runControllerService } from '../../lib/controller/service.ts';
import { setup } from './setup.ts';

runControllerService('disruption-controller', {}, setup);
