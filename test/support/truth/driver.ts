import { createNoopMeter } from '@opentelemetry/api';
import { keyOf } from '../../../lib/api/keys.ts';
import { isUpToDate, type EffectsReply } from '../../../lib/api/effects.ts';
import { systemClock } from '../../../lib/base/clock.ts';
import { isApiError } from '../../../lib/base/errors.ts';
import { silentLog } from '../../../lib/base/log.ts';
import { newClient } from '../../../lib/client/grpc-client.ts';
import { newViews } from '../../../lib/view/views.ts';
import { serveRequests } from '../netns-requests.ts';
import { differences, expectedFrom, type Expected } from './expected.ts';
import { kernelFrontends, Questions } from './readback.ts';
import { seeded, step } from './steps.ts';

/**
 * Takes random steps on a cluster and says when all proxies and DNS servers are as they should be: what it compares with is what the API
 * says of pods and services, and it reads the kernel's tables and asks by UDP itself.
 */
const client = newClient({ address: '127.0.0.1:7400' });
let random = seeded(1);
let serial = 0;
let tables: readonly string[] = [];
let servers: readonly Questions[] = [];
const atOnce = 5;
/** Services that are no more, the latest last: nothing may know them. */
const gone: string[] = [];
/** When what is wanted last became another, by what the watch tells. */
let causedAt = performance.now();

const signal = new AbortController().signal;
const views = newViews(
  { services: {}, pods: {}, endpoints: {}, replicationcontrollers: {} },
  { client, bus: undefined, cluster: 'troupe', clock: systemClock, log: silentLog, meter: createNoopMeter(), signal },
);

const textOf = ({ frontends, names }: Expected): string => JSON.stringify([[...frontends].sort(), [...names].sort()]);

function followCauses(): void {
  let last = '';
  let planned = false;
  const look = (): void => {
    planned = false;
    const now = textOf(
      expectedFrom(views.services.list(), views.pods.list(), (service) => views.endpoints.get(keyOf(service))),
    );
    if (now === last) return;
    last = now;
    causedAt = performance.now();
  };
  const plan = (): void => {
    if (planned) return;
    planned = true;
    setImmediate(look);
  };
  views.services.onChange(plan);
  views.pods.onChange(plan);
  views.endpoints.onChange((change) => {
    if (views.services.get(change.key)?.spec.selector === undefined) plan();
  });
}

/** What the API says at this moment, whatever views know. */
async function truth(): Promise<Expected> {
  const [services, pods, endpoints] = await Promise.all([
    client.list('services'),
    client.list('pods'),
    client.list('endpoints'),
  ]);
  const byKey = new Map(endpoints.items.map((each) => [keyOf(each), each]));
  return expectedFrom(services.items, pods.items, (service) => byKey.get(keyOf(service)));
}

async function compare(wanted: Expected): Promise<string[]> {
  const found: string[] = [];
  const kernel = await Promise.all(tables.map((table) => kernelFrontends(table)));
  kernel.forEach((is, i) => found.push(...differences(`table ${tables[i] ?? ''}`, is, wanted.frontends)));
  const stale = gone.filter((name) => !wanted.names.has(name));
  for (const [i, server] of servers.entries()) {
    const names = [...wanted.names.keys(), ...stale];
    const said = await Promise.all(names.map(async (name) => [name, await server.addresses(name)] as const));
    const is = new Map(said.flatMap(([name, to]) => (to === undefined ? [] : [[name, to] as const])));
    found.push(...differences(`dns ${i}`, is, wanted.names));
  }
  return found;
}

serveRequests({
  async start({
    seed,
    ports,
    tables: names,
  }: {
    readonly seed: number;
    readonly ports: readonly number[];
    readonly tables: readonly string[];
  }) {
    random = seeded(seed);
    tables = names;
    servers = await Promise.all(ports.map((port) => Questions.to(port)));
    await views.synced();
    followCauses();
  },

  /** Takes so many steps, a few at a time as several people would; resolves to the containers that should crash. What the API refuses or cannot do now is left. */
  async steps({ count }: { readonly count: number }) {
    const crashes: string[] = [];
    const take = async (): Promise<void> => {
      const known = {
        services: views.services.list(),
        pods: views.pods.list(),
        controllers: views.replicationcontrollers.list(),
      };
      try {
        const did = await step(client, known, random, serial++);
        const [, id] = /^crashes (.*)/.exec(did) ?? [];
        const [, name] = /^deletes service (.*)/.exec(did) ?? [];
        if (id !== undefined) crashes.push(id);
        if (name !== undefined) gone.push(`${name}.default.svc.cluster.local`);
        if (gone.length > 20) gone.shift();
      } catch (error) {
        if (!isApiError(error)) throw error;
      }
    };
    for (let left = count; left > 0; left -= atOnce)
      await Promise.all(Array.from({ length: Math.min(atOnce, left) }, take));
    return crashes;
  },

  /** Waits until everything is as it should be; resolves to the ms from the last cause to then, what reading took included, or to what is wrong. */
  async settle({ timeoutMs }: { readonly timeoutMs: number }) {
    const end = performance.now() + timeoutMs;
    /** What was last seen wrong, for the times that are longer than they should be. */
    let last: string[] = [];
    for (;;) {
      let wrong: string[];
      try {
        const before = await truth();
        wrong = await compare(before);
        const at = performance.now();
        if (wrong.length > 0) last = wrong.slice(0, 3);
        if (wrong.length === 0 && textOf(await truth()) === textOf(before))
          return {
            last,
            ms: Math.max(0, at - causedAt),
            frontends: before.frontends.size,
            names: before.names.size,
            wrong,
          };
      } catch (error) {
        wrong = [String(error)];
      }
      if (performance.now() > end) return { last, ms: NaN, frontends: 0, names: 0, wrong: wrong.slice(0, 10) };
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  },

  /** What proxies and DNS servers say themselves of every service: those that are behind, silent or have found drift. */
  async states() {
    const found: string[] = [];
    let states = 0;
    for (const service of views.services.list()) {
      const { namespace = '', name } = service.metadata;
      const reply = await client.call<EffectsReply>('troupe.v1.Effects', 'List', { namespace, name, timeoutMs: 300 });
      for (const state of reply.states ?? []) {
        states++;
        const who = `${state.part} of ${state.node}`;
        if (state.service === undefined) found.push(`${who} does not know ${name}`);
        else if (!isUpToDate(state.service, reply)) found.push(`${who} is behind on ${name}`);
        if (state.drift > 0) found.push(`${who} found ${state.drift} differences`);
      }
    }
    return { states, found: [...new Set(found)].slice(0, 10) };
  },

  /** Messages of the Events of this reason on a node. */
  async events({ reason, node }: { readonly reason: string; readonly node: string }) {
    const { items } = await client.list('events', {
      fieldSelector: `involvedObject.kind=Node,involvedObject.name=${node}`,
    });
    return items.filter((event) => event.reason === reason).map(({ message }) => message);
  },

  async readyNodes() {
    const { items } = await client.list('nodes');
    return items.filter(
      ({ spec, status }) =>
        spec.podCIDR !== undefined &&
        status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
    ).length;
  },

  /** What the kernel and the DNS servers say of what is known to be wanted: the same for as long as nothing changes, whoever is away. */
  async held() {
    const kernel = await Promise.all(tables.map(async (table) => [...(await kernelFrontends(table))].sort()));
    const names = [...expectedFrom(views.services.list(), [], () => undefined).names.keys(), ...gone];
    const answers = await Promise.all(
      servers.map((server) => Promise.all(names.map(async (name) => [name, (await server.addresses(name)) ?? null]))),
    );
    return { kernel, answers };
  },
});
