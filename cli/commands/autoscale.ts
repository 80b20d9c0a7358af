import type { Command } from '@commander-js/extra-typings';
import { apiVersionOf } from '../../lib/api/kinds.ts';
import type { HorizontalPodAutoscaler, MetricSpec } from '../../lib/api/objects.ts';
import type { Draft } from '../../lib/client/client.ts';
import { parseCount } from '../duration.ts';
import { kindInfo, replicasPath } from '../kinds.ts';
import { withSession, type Session } from '../session.ts';
import { UsageError, type Shell } from '../shell.ts';
import { nameOf, readTargets } from '../targets.ts';
import { scalable } from './scale.ts';

interface Options {
  readonly min: string;
  readonly max: string;
  readonly cpu?: string;
  readonly memory?: string;
  readonly requests?: string;
  readonly service?: string;
  readonly name?: string;
}

export function register(program: Command, shell: Shell): void {
  program
    .command('autoscale')
    .description('keep as many pods as there is work for: makes a HorizontalPodAutoscaler')
    .argument('<what...>', 'deploy/NAME or rc/NAME, or a kind of your own that has a scale')
    .requiredOption('--max <count>', 'at most so many pods')
    .option('--min <count>', 'at least so many pods', '1')
    .option('--cpu <percent>', 'so much of the cpu that pods request; 80 where no metric is said')
    .option('--memory <percent>', 'so much of the memory that pods request')
    .option('--requests <count>', 'so many requests per second for each pod, as the proxies count them')
    .option('--service <name>', 'the Service whose requests count; of the same name where it is not said')
    .option('--name <name>', 'how to call the autoscaler; like what it scales where it is not said')
    .action((what, options, command) => withSession(shell, command, (session) => autoscale(session, what, options)));
}

async function autoscale(session: Session, what: readonly string[], options: Options): Promise<void> {
  session.outputOf('name');
  const targets = await readTargets(session, what);
  const [target] = targets;
  const [name] = target?.names ?? [];
  if (target === undefined || name === undefined || targets.length > 1 || target.names?.length !== 1)
    throw new UsageError('name one thing to scale, such as deploy/web');
  const { resource } = target;
  if (!(scalable as readonly string[]).includes(resource) && replicasPath(resource) === undefined)
    throw new UsageError(`${resource} cannot be scaled; ${scalable.join(', ')} can`);
  const info = kindInfo(resource);
  const draft: Draft<HorizontalPodAutoscaler> = {
    metadata: { name: options.name ?? name, namespace: session.globals.namespace },
    spec: {
      scaleTargetRef: { apiVersion: apiVersionOf(info), kind: info.kind, name },
      minReplicas: parseCount('--min', options.min),
      maxReplicas: parseCount('--max', options.max),
      metrics: metricsOf(options, name),
    },
  };
  const client = await session.client();
  const made = await client.create('horizontalpodautoscalers', draft, session.call);
  const text = nameOf('horizontalpodautoscalers', made.metadata.name);
  session.print(session.globals.output === 'name' ? text : `${text} autoscales ${nameOf(resource, name)}`);
}

/** None where none is said: the API takes cpu at 80 % then. */
function metricsOf(options: Options, target: string): readonly MetricSpec[] {
  const metrics: MetricSpec[] = [];
  for (const name of ['cpu', 'memory'] as const) {
    const percent = options[name];
    if (percent === undefined) continue;
    const averageUtilization = parseCount(`--${name}`, percent.replace(/%$/, ''));
    metrics.push({ type: 'Resource', resource: { name, target: { type: 'Utilization', averageUtilization } } });
  }
  if (options.requests !== undefined)
    metrics.push({
      type: 'Object',
      object: {
        describedObject: { apiVersion: 'v1', kind: 'Service', name: options.service ?? target },
        metric: { name: 'requests-per-second' },
        target: { type: 'AverageValue', averageValue: String(parseCount('--requests', options.requests)) },
      },
    });
  else if (options.service !== undefined)
    throw new UsageError('--service names whose requests count: say how many with --requests');
  return metrics;
}
