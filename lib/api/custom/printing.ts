import { ageOfTime } from '../printing/age.ts';
import type { Column } from '../printing/index.ts';
import type { ApiObject, CustomColumn, CustomVersion } from '../objects.ts';
import { parseJsonPath, valuesAt } from './json-path.ts';

const name: Column = { name: 'Name', priority: 0 };
const age: CustomColumn = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };

/** What a definition wants shown; the age where it says nothing. */
const wanted = ({ additionalPrinterColumns = [] }: CustomVersion): readonly CustomColumn[] =>
  additionalPrinterColumns.length === 0 ? [age] : additionalPrinterColumns;

export const customColumns = (version: CustomVersion): readonly Column[] => [
  name,
  ...wanted(version).map((column): Column => ({ name: column.name, priority: (column.priority ?? 0) > 0 ? 1 : 0 })),
];

/** One cell a column; a value that is not there is empty. */
export const customRow = (version: CustomVersion, object: ApiObject, nowMs: number): readonly string[] => [
  object.metadata.name,
  ...wanted(version).map((column) => cell(column, object, nowMs)),
];

function cell({ type, jsonPath }: CustomColumn, object: ApiObject, nowMs: number): string {
  const path = parseJsonPath(jsonPath);
  const [value, ...more] = path === undefined ? [] : valuesAt(path, object);
  if (value === undefined || value === null) return '';
  if (type === 'date') return typeof value === 'string' ? ageOfTime(value, nowMs) : '';
  return [value, ...more].map((each) => (typeof each === 'string' ? each : JSON.stringify(each))).join(',');
}
