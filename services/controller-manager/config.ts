import { listOf, type Config, type ConfigTable } from '../../lib/base/config.ts';
import { allHosted, type Hosted } from './loops.ts';

const names = allHosted.map(({ name }) => name);

export const managerOptions = {
  controllers: {
    flag: '--controllers',
    env: 'TROUPE_CONTROLLERS',
    default: names,
    unit: 'name,name',
    help: 'Services to run in this process',
    parse: (text: string): readonly string[] => {
      const asked = listOf(text);
      const unknown = asked.find((name) => !names.includes(name));
      if (unknown !== undefined) throw new Error(`"${unknown}" is none of ${names.join(', ')}`);
      if (asked.length === 0) throw new Error(`name at least one of ${names.join(', ')}`);
      return asked;
    },
  },
} as const satisfies ConfigTable;

/** The options of every service, with its name before each flag: `--job-controller-burst`. The variables are the same as ever. */
export const hostedOptions: ConfigTable = Object.fromEntries(
  allHosted.flatMap(({ name, table }) =>
    Object.entries(table).map(([key, option]) => [
      keyOf(name, key),
      { ...option, flag: `--${name}-${option.flag.slice(2)}` as const },
    ]),
  ),
);

/** The configuration that a service would have by itself. */
export function configOf({ name, table }: Hosted, config: Config<ConfigTable>): Config<ConfigTable> {
  const own = Object.keys(table).map((key): readonly [string, unknown] => [key, config[keyOf(name, key)]]);
  return { ...config, ...Object.fromEntries(own) };
}

function keyOf(name: string, key: string): string {
  return `${name}/${key}`;
}
