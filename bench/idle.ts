import Docker from 'dockerode';
import { memoryOf } from '../cli/cluster/memory.ts';
import { TestCluster } from '../test/support/cluster.ts';
import { importBusybox } from '../test/support/docker-engine.ts';
import { cpuSeconds, sleeper } from './support.ts';
import type { BenchRow } from './row.ts';

const idle = (how: string, flags: readonly string[], goal: number): BenchRow => ({
  name: `idle, 1 node, 10 pods: memory (PSS) of control plane and agents, without the engine, ${how}`,
  unit: 'MB',
  better: 'lower',
  goal,
  repeats: 1,
  async run(context) {
    context.say('starting a cluster');
    const made = await TestCluster.start(220, {}, flags);
    const client = made.client();
    try {
      await importBusybox(new Docker({ socketPath: made.dockerSocket }));
      await client.createMany(
        'pods',
        Array.from({ length: 10 }, (_, i) => sleeper(`idle-${i}`)),
      );
      context.say('ten pods, then 30 s of nothing');
      await new Promise((resolve) => setTimeout(resolve, 20_000));
      const parts = made.state().parts.filter(({ name }) => name !== 'docker' && name !== 'containerd');
      for (const part of parts)
        if (part.pid === undefined) throw new Error(`${part.name} is ${part.state}: ${part.why ?? ''}`);
      const before = parts.map((part) => cpuSeconds(part.pid ?? 0));
      await new Promise((resolve) => setTimeout(resolve, 30_000));
      const cpu = parts.map((part, i) => (cpuSeconds(part.pid ?? 0) - (before[i] ?? 0)) / 30);
      const memory = parts.map((part) => (memoryOf(part.pid ?? 0) ?? 0) / 1e6);
      return {
        value: memory.reduce((sum, mb) => sum + mb, 0),
        extra: {
          '% of a core': cpu.reduce((sum, share) => sum + share * 100, 0),
          ...Object.fromEntries(
            parts.flatMap((part, i) => [
              [`${part.name} MB`, memory[i] ?? 0],
              [`${part.name} %`, (cpu[i] ?? 0) * 100],
            ]),
          ),
        },
      };
    } finally {
      client.close();
      await made.stop();
    }
  },
});

export const rows: readonly BenchRow[] = [
  idle('each controller a process', [], 300),
  idle('the controllers in one process', ['--together'], 150),
];
