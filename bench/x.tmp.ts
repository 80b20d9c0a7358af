import { rows } from './scale.ts';
const [name = '', n = '1'] = process.argv.slice(2);
for (const row of rows.filter((r) => r.name.startsWith(name)))
  for (let i = 0; i < Number(n); i++) console.log(row.name, JSON.stringify(await row.run({ say: (t: string) => console.error(t) } as never), null, 1));
process.exit(0);
