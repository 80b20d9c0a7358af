import { matches, type Selector } from '../../../lib/api/labels.ts';

/** What a pod says of one metric. */
export interface Told {
  readonly value: number;
  /** It only ever grows, so that its growth is what is of interest. */
  readonly counter: boolean;
}

const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?[ \t]+([^ \t]+)(?:[ \t]+-?[0-9]+)?[ \t]*$/;
const label = /([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"/g;

/**
 * The sum of a metric's samples in the text format of Prometheus (version 0.0.4), of those whose labels the selector takes. Undefined
 * where there is none. What is not of the format is passed over: pods say many things that are of no interest here.
 */
export function readMetric(text: string, name: string, selector: Selector): Told | undefined {
  let sum: number | undefined;
  let counter = name.endsWith('_total');
  for (const line of text.split('\n')) {
    if (line.startsWith('#')) {
      const [, word, about, type] = line.split(/[ \t]+/);
      if (word === 'TYPE' && about === name) counter = type?.trim() === 'counter';
      continue;
    }
    if (!line.startsWith(name)) continue;
    const [, found, labels = '', written = ''] = sample.exec(line.trimEnd()) ?? [];
    if (found !== name || !matches(selector, labelsIn(labels))) continue;
    const value = Number(written);
    if (Number.isFinite(value)) sum = (sum ?? 0) + value;
  }
  return sum === undefined ? undefined : { value: sum, counter };
}

const labelsIn = (text: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    [...text.matchAll(label)].map(([, name = '', value = '']) => [name, value.replace(/\\(.)/g, '$1')]),
  );
