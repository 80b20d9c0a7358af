import type { Node, Pod } from '../../../lib/api/objects.ts';
import { isTerminal } from '../../../lib/api/pods.ts';
import type { NodeMetrics, PodMetrics, SilentNode } from '../../../lib/api/usage.ts';
import { ApiError, messageOf, notFound } from '../../../lib/base/errors.ts';
import { eachAtMost } from '../../../lib/base/parallel.ts';
import type { NodeStats, StatsQuestion } from '../../../lib/bus/node-stats.ts';
import type { Registry, Selection } from '../registry/registry.ts';
import { nodeMetrics, podMetrics } from './figures.ts';

/** Asks the agent of a node. Rejects with ApiError when it does not answer in time. */
export type AskNode = (node: string, question: StatsQuestion) => Promise<NodeStats>;

export interface Usage<T> {
  readonly items: readonly T[];
  readonly silent: readonly SilentNode[];
}
export interface UsageQuestion extends Selection {
  readonly name?: string;
  readonly history?: boolean;
}

/**
 * What pods and nodes use now, put together from what the nodes answer. Nothing is kept: the figures are the nodes' own, and
 * who does not answer is named instead of being taken for idle. Every door can serve it.
 */
export interface UsageSource {
  /** NotFound when one pod is asked for by name and is not there. */
  pods(question: UsageQuestion): Promise<Usage<PodMetrics>>;
  nodes(question: UsageQuestion): Promise<Usage<NodeMetrics>>;
}

/** Questions under way at one time. */
const width = 64;
/** More pods of a node than this are asked for by leaving out which. */
const maxNamed = 200;

export function newUsage(registry: Registry, ask: AskNode | undefined): UsageSource {
  async function objects<T>(
    resource: string,
    { name, history: _, ...selection }: UsageQuestion,
  ): Promise<readonly T[]> {
    const named = name === undefined ? undefined : `metadata.name=${name}`;
    const fieldSelector = [selection.fieldSelector, named].filter((part) => part !== undefined).join(',');
    const { items } = await registry.list(resource, {
      ...selection,
      ...(fieldSelector === '' ? {} : { fieldSelector }),
    });
    if (name !== undefined && items.length === 0) throw notFound(resource, name);
    return items.map(({ json }) => JSON.parse(json.toString('utf8')) as T);
  }

  /** Asks each node its question; what they answer, by node, and who did not. */
  async function askAll(
    questions: ReadonlyMap<string, StatsQuestion>,
  ): Promise<{ readonly answers: ReadonlyMap<string, NodeStats>; readonly silent: readonly SilentNode[] }> {
    if (ask === undefined)
      throw new ApiError(
        'ServiceUnavailable',
        'this apiserver works without a bus, over which nodes are asked (--nats)',
      );
    const answers = new Map<string, NodeStats>();
    const silent: SilentNode[] = [];
    await eachAtMost(width, [...questions], async ([node, question]) => {
      try {
        answers.set(node, await ask(node, question));
      } catch (error) {
        silent.push({ node, message: messageOf(error) });
      }
    });
    return { answers, silent: silent.toSorted((a, b) => (a.node < b.node ? -1 : 1)) };
  }

  return {
    async pods(question) {
      const pods = (await objects<Pod>('pods', question)).filter(
        (pod) => (pod.spec.nodeName ?? '') !== '' && !isTerminal(pod),
      );
      const byNode = new Map<string, Pod[]>();
      for (const pod of pods) {
        const on = byNode.get(pod.spec.nodeName ?? '');
        if (on === undefined) byNode.set(pod.spec.nodeName ?? '', [pod]);
        else on.push(pod);
      }
      const questions = [...byNode].map(([node, on]) => [node, questionFor(on, question)] as const);
      const { answers, silent } = await askAll(new Map(questions));
      const items = pods.flatMap((pod) => {
        const stats = answers.get(pod.spec.nodeName ?? '')?.pods.find(({ uid }) => uid === pod.metadata.uid);
        const metrics = stats === undefined ? undefined : podMetrics(metadataOf(pod), stats);
        return metrics === undefined ? [] : [metrics];
      });
      return { items, silent };
    },

    async nodes(question) {
      const nodes = await objects<Node>('nodes', question);
      const history = question.history === true;
      const { answers, silent } = await askAll(
        new Map(nodes.map((node) => [node.metadata.name, { uids: [], ...(history ? { history } : {}) }])),
      );
      const items = nodes.flatMap((node) => {
        const stats = answers.get(node.metadata.name);
        const metrics = stats === undefined ? undefined : nodeMetrics(metadataOf(node), stats.machine);
        return metrics === undefined ? [] : [metrics];
      });
      return { items, silent };
    },
  };
}

function questionFor(pods: readonly Pod[], { namespace, history }: UsageQuestion): StatsQuestion {
  return {
    ...(namespace === undefined ? {} : { namespace }),
    ...(pods.length > maxNamed ? {} : { uids: pods.map((pod) => pod.metadata.uid) }),
    ...(history === true ? { history } : {}),
  };
}

/** Enough to tell which object it is, and to select by. */
const metadataOf = ({
  metadata: { name, namespace, labels, uid, creationTimestamp },
}: Pod | Node): PodMetrics['metadata'] => ({
  name,
  ...(namespace === undefined ? {} : { namespace }),
  uid,
  creationTimestamp,
  ...(labels === undefined ? {} : { labels }),
});
