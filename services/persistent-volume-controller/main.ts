import { runControllerService } from '../../lib/controller/service.ts';
import { persistentVolumeOptions } from './config.ts';
import { setup } from './setup.ts';

runControllerService('persistent-volume-controller', persistentVolumeOptions, setup);
