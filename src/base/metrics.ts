/**
 * Counting, handed in. The real registry, which prints Prometheus text, is `observe/metrics.ts`. Names start with
 * `millrace_`; counters end in `_total`, and units are in the name (`_seconds`, `_bytes`).
 */
export type Labels = Readonly<Record<string, string>>;

export interface Counter {
  add(count?: number, labels?: Labels): void;
  /** For hot paths: the text of the labels is made once. */
  series(labels: Labels): { add(count?: number): void };
}

export interface Gauge {
  set(value: number, labels?: Labels): void;
}

export interface Histogram {
  observe(value: number, labels?: Labels): void;
  series(labels: Labels): { observe(value: number): void };
}

export interface Sample {
  readonly labels?: Labels;
  /** Null leaves the sample out: nothing is known. */
  readonly value: number | null;
}

export interface Metrics {
  /** The same name again answers the same metric; another kind under that name is a bug. */
  counter(name: string, help: string): Counter;
  gauge(name: string, help: string): Gauge;
  /** `buckets` are upper bounds in ascending order; +Inf is added. */
  histogram(name: string, help: string, buckets: readonly number[]): Histogram;
  /** Read when somebody asks for the metrics; a `read` that throws leaves its metric out of that answer. */
  collect(kind: "counter" | "gauge", name: string, help: string, read: () => Iterable<Sample>): void;
}

/** For parts that run alone. */
export const silentMetrics: Metrics = {
  counter: () => ({ add() {}, series: () => ({ add() {} }) }),
  gauge: () => ({ set() {} }),
  histogram: () => ({ observe() {}, series: () => ({ observe() {} }) }),
  collect() {},
};
