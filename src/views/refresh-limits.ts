/** How much of the store views that are recomputed whole may take. */
export interface RefreshLimits {
  /** How long a query may take that is run again so often. */
  takesMsMax(everyMs: number): number;
  /** Between the end of a computation and the beginning of the next one of the same view, at least. */
  readonly pauseMsMin: number;
}

export const defaultRefreshLimits: RefreshLimits = {
  takesMsMax: (everyMs) => Math.max(everyMs, 60_000),
  pauseMsMin: 1_000,
};
