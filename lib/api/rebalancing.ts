/**
 * Whether pods may be moved to even them out over the nodes: `true` or `false`, on a ReplicationController, ReplicaSet or Deployment, or
 * in the template of its pods, which counts before it. `false` on a pod keeps that one where it is.
 */
export const rebalanceAnnotation = 'troupe.dev/rebalance';

/** On a pod that is being moved: since when (RFC 3339). Whoever leads the loop then goes on with it. */
export const movingSinceAnnotation = 'troupe.dev/rebalancing-since';

/** What is said; undefined where nothing is. */
export function consentIn(annotations: Readonly<Record<string, string>> | undefined): boolean | undefined {
  const said = annotations?.[rebalanceAnnotation];
  return said === 'true' ? true : said === 'false' ? false : undefined;
}
