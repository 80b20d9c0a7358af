import { isAbsolute, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { messageOf } from '../../../../lib/base/errors.ts';
import { LeastConnections, RoundRobin } from './built-in.ts';
import type { Policy, PolicyModule, PolicyService } from './policy.ts';

export type PolicyMaker = (service: PolicyService) => Policy;
export type Policies = ReadonlyMap<string, PolicyMaker>;

export const builtIn: Policies = new Map<string, PolicyMaker>([
  ['round-robin', () => new RoundRobin()],
  ['least-connections', () => new LeastConnections()],
]);

/** The built-in policies and those of the modules at `paths`. Rejects with the path and the reason when one cannot be had. */
export async function loadPolicies(paths: readonly string[]): Promise<Policies> {
  const all = new Map(builtIn);
  for (const path of paths) {
    for (const [name, make] of await policiesOf(path)) {
      if (all.has(name)) throw new Error(`policy module ${path}: there is a policy "${name}" already`);
      all.set(name, make);
    }
  }
  return all;
}

async function policiesOf(path: string): Promise<[string, PolicyMaker][]> {
  let module: Partial<PolicyModule>;
  try {
    module = (await import(pathToFileURL(isAbsolute(path) ? path : resolve(path)).href)) as Partial<PolicyModule>;
  } catch (error) {
    throw new Error(`policy module ${path} cannot be loaded: ${messageOf(error)}`, { cause: error });
  }
  const found = Object.entries(module.policies ?? {});
  if (found.length === 0)
    throw new Error(`policy module ${path} exports no \`policies\`: an object of functions by the policies' names`);
  for (const [name, make] of found) {
    if (typeof make !== 'function') throw new Error(`policy module ${path}: policies["${name}"] is not a function`);
  }
  return found;
}
