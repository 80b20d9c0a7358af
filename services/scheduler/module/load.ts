import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { messageOf } from '../../../lib/base/errors.ts';
import type { SchedulerModule } from './contract.ts';

/** The module at `path`, checked. Rejects with the path and the reason when there is none that can be used. */
export async function loadModule(path: string): Promise<SchedulerModule> {
  let module: SchedulerModule;
  try {
    module = (await import(pathToFileURL(resolve(path)).href)) as SchedulerModule;
  } catch (error) {
    throw new Error(`scheduling module ${path} cannot be loaded: ${messageOf(error)}`, { cause: error });
  }
  const wrong = wrongWith(module);
  if (wrong !== undefined) throw new Error(`scheduling module ${path} ${wrong}`);
  return module;
}

function wrongWith(module: object): string | undefined {
  const { filters = [], scores = [], start } = module as Readonly<Record<string, unknown>>;
  if (!Array.isArray(filters)) return 'exports `filters` that are no array';
  if (!Array.isArray(scores)) return 'exports `scores` that are no array';
  if (filters.length + scores.length === 0) return 'exports neither `filters` nor `scores`: arrays of rules';
  if (start !== undefined && typeof start !== 'function') return 'exports a `start` that is no function';
  const names = new Set<unknown>();
  for (const [list, rules, verb] of [
    ['filters', filters as readonly unknown[], 'refuse'],
    ['scores', scores as readonly unknown[], 'score'],
  ] as const)
    for (const [i, each] of rules.entries()) {
      const rule = (each ?? {}) as Readonly<Record<string, unknown>>;
      const at = `${list}[${i}]`;
      const { name, weight = 1, concerns } = rule;
      if (typeof name !== 'string' || name === '') return `: ${at}.name must be a text`;
      if (names.has(name)) return `: ${at}.name: there is a rule "${name}" already`;
      names.add(name);
      if (typeof rule[verb] !== 'function') return `: ${at}.${verb} must be a function`;
      if (concerns !== undefined && typeof concerns !== 'function') return `: ${at}.concerns must be a function`;
      if (typeof weight !== 'number' || !(weight >= 1 && weight <= 100))
        return `: ${at}.weight must be a number from 1 to 100`;
    }
  return undefined;
}
