/** Times of a view in milliseconds. */
export interface ViewTimes {
  /** The position is checked about so often. */
  readonly checkMs: number;
  /** A full list is taken about so often, whatever the chain says. */
  readonly relistMs: number;
  /** A change that the API knows of may take so long to arrive before it counts as lost. */
  readonly arrivalMs: number;
  /** The bus may be away so long before the view reads through gRPC. */
  readonly graceMs: number;
  /** The relay, which speaks every second, may be silent so long. */
  readonly relaySilenceMs: number;
}

export const defaultTimes: ViewTimes = {
  checkMs: 30_000,
  relistMs: 600_000,
  arrivalMs: 2_000,
  graceMs: 400,
  relaySilenceMs: 3_500,
};
