import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import color from 'picocolors';
import type { BenchFigure, BenchRow } from './row.ts';

/**
 * `npm run bench [-- group …] [--out file] [--repeats n]`: measures the rows of every group (a file of this folder
 * that exports `rows`, and `close` where rows share something), prints a table and writes the figures as JSON. Each row is repeated; the median counts.
 */
const here = dirname(fileURLToPath(import.meta.url));
const notGroups = new Set(['main.ts', 'row.ts', 'support.ts']);

interface Measured {
  readonly group: string;
  readonly name: string;
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  readonly goal?: number;
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
  readonly limit?: number;
  readonly extra: Readonly<Record<string, number>>;
  readonly repeats: number;
}

const { groups, out, repeats } = readArguments(process.argv.slice(2));
const results: Measured[] = [];
const failures: string[] = [];
for (const group of groups) {
  const file = join(here, `${group}.ts`);
  const { rows, close } = (await import(pathToFileURL(file).href)) as {
    rows: readonly BenchRow[];
    close?: () => Promise<void>;
  };
  for (const row of rows) {
    try {
      const result = await measure(group, row);
      results.push(result);
      console.log(line(result));
    } catch (error) {
      failures.push(`${group}: ${row.name}`);
      console.error(
        color.red(
          `${group}: ${row.name} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
        ),
      );
    }
  }
  await close?.();
}
mkdirSync(dirname(out), { recursive: true });
writeFileSync(
  out,
  JSON.stringify({ date: new Date().toISOString(), machine: machine(), results }, undefined, 2) + '\n',
);
console.log(`\nfigures written to ${out}`);
process.exit(failures.length === 0 ? 0 : 1);

async function measure(group: string, row: BenchRow): Promise<Measured> {
  const count = repeats ?? row.repeats ?? 5;
  const figures: BenchFigure[] = [];
  for (let i = 0; i < count; i++) {
    figures.push(
      await row.run({
        say: (text) => void process.stderr.write(color.dim(`  ${row.name} (${i + 1}/${count}): ${text}\n`)),
      }),
    );
  }
  const values = figures.map((figure) => figure.value);
  const names = [...new Set(figures.flatMap((figure) => Object.keys(figure.extra ?? {})))];
  const limits = figures.flatMap((figure) => (figure.limit === undefined ? [] : [figure.limit]));
  return {
    group,
    name: row.name,
    unit: row.unit,
    better: row.better,
    ...(row.goal !== undefined && { goal: row.goal }),
    median: median(values),
    lowest: Math.min(...values),
    highest: Math.max(...values),
    ...(limits.length > 0 && { limit: median(limits) }),
    extra: Object.fromEntries(
      names.map((name) => [name, median(figures.flatMap((figure) => figure.extra?.[name] ?? []))]),
    ),
    repeats: count,
  };
}

function line(row: Measured): string {
  const reached =
    row.goal === undefined ? undefined : row.better === 'higher' ? row.median >= row.goal : row.median <= row.goal;
  const paint = reached === undefined ? (text: string): string => text : reached ? color.green : color.yellow;
  const goal = row.goal === undefined ? '' : `  goal ${row.better === 'higher' ? '≥' : '≤'} ${figure(row.goal)}`;
  const limit =
    row.limit === undefined ? '' : `  natural limit ${figure(row.limit)} (ratio ${figure(row.median / row.limit)})`;
  const extra = Object.entries(row.extra).map(([name, value]) => `${name} ${figure(value)}`);
  const spread = row.repeats > 1 ? color.dim(` [${figure(row.lowest)} to ${figure(row.highest)}]`) : '';
  return `${row.name.padEnd(72)} ${paint(figure(row.median).padStart(10))} ${row.unit.padEnd(9)}${spread}${goal}${limit}${extra.length > 0 ? `  ${extra.join(', ')}` : ''}`;
}

function figure(value: number): string {
  if (Math.abs(value) >= 1_000) return Math.round(value).toLocaleString('en').replaceAll(',', ' ');
  return String(Number(value.toPrecision(3)));
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? NaN)
    : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}

function machine(): object {
  return {
    cpus: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
  };
}

function readArguments(words: readonly string[]): {
  groups: readonly string[];
  out: string;
  repeats: number | undefined;
} {
  const rest = [...words];
  const take = (flag: string): string | undefined => {
    const at = rest.indexOf(flag);
    return at < 0 ? undefined : rest.splice(at, 2)[1];
  };
  const file = take('--out') ?? join(here, 'figures.json');
  const times = take('--repeats');
  const known = readdirSync(here)
    .filter((name) => name.endsWith('.ts') && !notGroups.has(name))
    .map((name) => name.slice(0, -3));
  const unknown = rest.filter((name) => !existsSync(join(here, `${name}.ts`)));
  if (unknown.length > 0) {
    console.error(`no such group: ${unknown.join(', ')}; there are ${known.join(', ')}`);
    process.exit(2);
  }
  return {
    groups: rest.length > 0 ? rest : known,
    out: file,
    repeats: times === undefined ? undefined : Number(times),
  };
}
