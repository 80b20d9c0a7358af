export interface Outcome {
  readonly ok: boolean;
  /** Why not, for a person. */
  readonly message: string;
  /** It could not be found out: the engine was away. Says nothing of the container. */
  readonly unknown?: boolean;
}
