import type { PodDisruptionBudget } from '../objects.ts';

export const budgetRow = ({ metadata, spec, status }: PodDisruptionBudget, age: string): readonly string[] => [
  metadata.name,
  String(spec.minAvailable ?? 'N/A'),
  String(spec.maxUnavailable ?? 'N/A'),
  String(status.disruptionsAllowed),
  age,
];
