import { matches, type Requirement, type Selector } from './labels.ts';
import type { Labels, NodeSelectorRequirement, NodeSelectorTerm } from './objects.ts';

/** A term of a node selector, made ready to be asked often: all of it must be met, by the node's labels and by its name. */
export interface NodeTerm {
  readonly labels: Selector;
  readonly name: Selector;
}

interface Named {
  readonly name: string;
  readonly labels?: Labels;
}

export const nodeTermOf = ({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm): NodeTerm => ({
  labels: matchExpressions.map(requirementOf),
  name: matchFields.map(requirementOf),
});

/** A term without any requirement is met by no node. */
export const meetsTerm = ({ labels, name }: NodeTerm, node: Named): boolean =>
  labels.length + name.length > 0 &&
  matches(labels, node.labels) &&
  (name.length === 0 || matches(name, { 'metadata.name': node.name }));

export const meetsAny = (terms: readonly NodeTerm[], node: Named): boolean =>
  terms.some((term) => meetsTerm(term, node));

const operators = { Gt: 'GreaterThan', Lt: 'LessThan' } as const;
const requirementOf = ({ key, operator, values = [] }: NodeSelectorRequirement): Requirement => ({
  key,
  operator: operator === 'Gt' || operator === 'Lt' ? operators[operator] : operator,
  values,
});
