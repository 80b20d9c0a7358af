import { runControllerService } from '../../lib/controller/service.ts';
import { autoscalerOptions } from './config.ts';
import { setup } from './setup.ts';

runControllerService('autoscaler', autoscalerOptions, setup);
