/** What a pod has answered, the newest last: whether it was well, by the rule. */
export type Answers = readonly boolean[];

export interface Rule {
  /** So many bad answers in a row make a pod sick. */
  readonly misses: number;
  /** So many may be in quarantine at one time: where all seem sick, it is the rule or the network that is. */
  readonly most: number;
}

/** Which pods are to be relabelled now, by name: the sickest first, and no more than the rule lets be away. */
export function sickOnes(history: ReadonlyMap<string, Answers>, quarantined: number, rule: Rule): readonly string[] {
  const missesOf = (answers: Answers): number => answers.length - 1 - answers.lastIndexOf(true);
  return [...history]
    .map(([name, answers]) => ({ name, misses: missesOf(answers) }))
    .filter(({ misses }) => misses >= rule.misses)
    .sort((a, b) => b.misses - a.misses || (a.name < b.name ? -1 : 1))
    .slice(0, Math.max(0, rule.most - quarantined))
    .map(({ name }) => name);
}

/** The rule of this example: a pod is well if it answers with a queue shorter than `longest`, whatever its own probes say. */
export function isWell(status: number, body: string, longest: number): boolean {
  if (status !== 200) return false;
  try {
    const { queue } = (JSON.parse(body) ?? {}) as { readonly queue?: unknown };
    return typeof queue === 'number' && queue < longest;
  } catch {
    return false; // an answer, but not the one that was asked for
  }
}
