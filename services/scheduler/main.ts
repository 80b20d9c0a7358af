import { runControllerService } from '../../lib/controller/service.ts';
import { schedulerOptions } from './config.ts';
import { Scheduler } from './scheduler.ts';

runControllerService('scheduler', schedulerOptions, (parts) => {
  const { schedulerName, batch, sample } = parts.config;
  const limits = { schedulerName, batch, sample, inFlight: 4, bindForMs: 30_000 };
  const [nodes, pods, services] = [parts.view('nodes'), parts.view('pods'), parts.view('services')];
  return new Scheduler({ ...parts, nodes, pods, services, limits });
});
