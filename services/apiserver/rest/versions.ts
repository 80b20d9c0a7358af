const pattern = /^v(\d+)(?:(alpha|beta)(\d+))?$/;
const ripeness = ['alpha', 'beta', ''];

/** An order of the versions of a group, the one that clients should rather use first: v2, v1, v2beta1, v1alpha1, then others by name (Kubernetes API, "Version priority"). */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [pattern.exec(a), pattern.exec(b)];
  if (left === null || right === null) return left !== null ? -1 : right !== null ? 1 : a < b ? -1 : a > b ? 1 : 0;
  const rank = ([, major, stage = '', minor = '0']: RegExpExecArray): readonly number[] => [
    ...[ripeness.indexOf(stage), Number(major), Number(minor)],
  ];
  const [x, y] = [rank(left), rank(right)];
  const differs = x.findIndex((value, index) => value !== y[index]);
  return differs < 0 ? 0 : (y[differs] ?? 0) - (x[differs] ?? 0);
}
