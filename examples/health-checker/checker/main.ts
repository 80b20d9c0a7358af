import { get } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { Api, type Pod } from './api.ts';
import { isWell, sickOnes, type Answers } from './decide.ts';

/** How the checker is told what to do, by its environment. */
const {
  LABEL = 'app',
  VALUE = 'web',
  PORT = '8080',
  LONGEST = '100',
  EVERY_MS = '1000',
  MISSES = '3',
  MOST = '1',
} = process.env;
const rule = { misses: Number(MISSES), most: Number(MOST) };
const quarantine = 'troupe.dev/quarantine';
const setAside = 'troupe.dev/labels-set-aside';

/** Other pods are asked over the network, which can only be done now and then. */
function ask(ip: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asking = get({ host: ip, port: Number(PORT), path: '/queue', timeout: 1_000 }, (reply) => {
      let body = '';
      reply.on('data', (part: Buffer) => (body += part.toString()));
      reply.on('end', () => {
        resolve(isWell(reply.statusCode ?? 0, body, Number(LONGEST)));
      });
      reply.on('error', () => {
        resolve(false);
      });
    });
    asking.on('timeout', () => asking.destroy());
    asking.on('error', () => {
      resolve(false);
    });
  });
}

const isUp = ({ metadata, status }: Pod): boolean =>
  metadata.deletionTimestamp === undefined && status.phase === 'Running' && status.podIP !== undefined;

async function round(api: Api, before: ReadonlyMap<string, Answers>): Promise<ReadonlyMap<string, Answers>> {
  const pods = (await api.pods(`${LABEL}=${VALUE}`)).filter(isUp);
  const entries = pods.map(async ({ metadata: { name }, status }) => {
    const answers = [...(before.get(name) ?? []), await ask(status.podIP ?? '')].slice(-rule.misses);
    // Who has never been well may still be starting: its own probes are for that.
    return [name, answers.includes(true) || before.has(name) ? answers : answers.filter(Boolean)] as const;
  });
  const history = new Map((await Promise.all(entries)).filter(([, answers]) => answers.length > 0));
  const quarantined = (await api.pods(quarantine)).length;
  for (const name of sickOnes(history, quarantined, rule)) {
    const pod = pods.find(({ metadata }) => metadata.name === name);
    if (pod === undefined) continue;
    // The same as `troupe quarantine`, so that `troupe release` gives it back.
    await api.patch(name, {
      metadata: {
        resourceVersion: pod.metadata.resourceVersion,
        labels: { [LABEL]: null, [quarantine]: 'true' },
        annotations: { [setAside]: JSON.stringify({ [LABEL]: VALUE }) },
      },
    });
    console.log(`${name} is sick: in quarantine`);
  }
  return history;
}

const api = await Api.open();
let history: ReadonlyMap<string, Answers> = new Map();
let over = false;
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.on(signal, () => {
    over = true;
  });
console.log(`checking ${LABEL}=${VALUE}`);
while (!over) {
  try {
    history = await round(api, history);
  } catch (error) {
    console.log(String(error)); // the API may be away, or somebody else was quicker: the next round sees
  }
  await pause(Number(EVERY_MS));
}
