/**
 * Rules for a scheduler of one's own: `dist/scheduler.js --module examples/scheduling-rules/rules.mjs`.
 *
 * Pods say in which jurisdiction their data may be, machines say where they stand and what they cost an hour, all in annotations.
 *
 * @typedef {import('../../services/scheduler/module/contract.ts').SchedulerModule} SchedulerModule
 */

const allowed = 'example.com/jurisdictions';
const stands = 'example.com/jurisdiction';
const price = 'example.com/price-per-hour';

const listOf = (text = '') => text.split(',').map((each) => each.trim());

/** @type {SchedulerModule['filters']} */
export const filters = [
  {
    name: 'jurisdiction',
    concerns: (pod) => pod.metadata.annotations?.[allowed] !== undefined,
    refuse(pod, { node }) {
      const here = node.metadata.annotations?.[stands];
      if (here === undefined) return `without the annotation ${stands}`;
      return listOf(pod.metadata.annotations?.[allowed]).includes(here) ? undefined : 'in another jurisdiction';
    },
  },
];

/** What an hour may cost at most to make a difference. */
const dearest = 10;

/** @type {SchedulerModule['scores']} */
export const scores = [
  {
    name: 'price',
    weight: 50,
    score(_, { node }) {
      const asked = Number(node.metadata.annotations?.[price] ?? dearest);
      return 100 * (1 - Math.min(Math.max(asked, 0), dearest) / dearest);
    },
  },
];
