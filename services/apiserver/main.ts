import { runService } from '../../lib/base/lifecycle.ts';
import { startApiserver } from './apiserver.ts';
import { apiserverOptions } from './config.ts';

runService('apiserver', apiserverOptions, startApiserver);
