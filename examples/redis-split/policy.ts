import type { PolicyConnection, PolicyModule, PolicyService } from '../../services/proxy/userspace/policy/policy.ts';
import { Session, type SplitOptions } from './session.ts';

/**
 * One address for a Redis of a master and replicas: writes go to the master, reads to the replicas.
 * Options: `master` and `replicas` name the Services of the two (`redis-master`, `redis-replica`), `own-writes-ms` says for how
 * long after a write a connection reads from the master (0), `wait-ms` how long a command waits for a master that is away (2000).
 */
export const policies: PolicyModule['policies'] = {
  'redis-split': (service) => {
    const options = optionsOf(service);
    return {
      serve: (connection: PolicyConnection) => void new Session(connection, options),
    };
  },
};

function optionsOf({ options }: PolicyService): SplitOptions {
  const known = ['master', 'replicas', 'own-writes-ms', 'wait-ms'];
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`redis-split has no option "${unknown}"; there are ${known.join(', ')}`);
  const ms = (name: string, otherwise: number): number => {
    const text = options[name];
    if (text !== undefined && !/^[0-9]{1,6}$/.test(text))
      throw new Error(`redis-split: ${name} must be milliseconds, and is "${text}"`);
    return text === undefined ? otherwise : Number(text);
  };
  return {
    master: options['master'] ?? 'redis-master',
    replicas: options['replicas'] ?? 'redis-replica',
    ownWritesMs: ms('own-writes-ms', 0),
    waitMs: ms('wait-ms', 2_000),
  };
}
