/**
 * The registry of metrics, printed in Prometheus' text format (version 0.0.4).
 *
 * Always true: memory is bounded by the number of label sets, and a metric keeps at most `labelSetsMax` of them;
 * what comes after is counted in `millrace_metrics_dropped_total`, never kept.
 */

import { invariant } from "../base/errors.ts";
import type { Counter, Gauge, Histogram, Labels, Metrics, Sample } from "../base/metrics.ts";

const labelSetsMax = 2_000;

type Kind = "counter" | "gauge" | "histogram";

interface Family {
  readonly kind: Kind;
  readonly handle: Counter | Gauge | Histogram | undefined;
  readonly help: string;
  print(name: string, lines: string[]): void;
}

export class MetricsRegistry implements Metrics {
  readonly #families = new Map<string, Family>();
  #dropped = 0;

  constructor() {
    this.collect("counter", "millrace_metrics_dropped_total", "Observations whose labels were too many to keep.", () =>
      this.#dropped === 0 ? [] : [{ value: this.#dropped }],
    );
  }

  counter(name: string, help: string): Counter {
    const values = new Map<string, number>();
    const add = (key: string, count: number) => {
      if (this.#hasRoom(values, key)) values.set(key, (values.get(key) ?? 0) + count);
    };
    return this.#register(name, {
      kind: "counter",
      help,
      handle: {
        add: (count = 1, labels) => add(labelText(labels), count),
        series(labels: Labels) {
          const key = labelText(labels);
          return { add: (count = 1) => add(key, count) };
        },
      },
      print: (metric, lines) => printValues(metric, values, lines),
    }) as Counter;
  }

  gauge(name: string, help: string): Gauge {
    const values = new Map<string, number>();
    return this.#register(name, {
      kind: "gauge",
      help,
      handle: {
        set: (value, labels) => {
          const key = labelText(labels);
          if (this.#hasRoom(values, key)) values.set(key, value);
        },
      },
      print: (metric, lines) => printValues(metric, values, lines),
    }) as Gauge;
  }

  histogram(name: string, help: string, buckets: readonly number[]): Histogram {
    const series = new Map<string, Series>();
    const observe = (key: string, value: number) => {
      if (!this.#hasRoom(series, key)) return;
      let one = series.get(key);
      if (!one) {
        one = { counts: new Array<number>(buckets.length + 1).fill(0), sum: 0 };
        series.set(key, one);
      }
      const found = buckets.findIndex((bound) => value <= bound);
      const bucket = found < 0 ? buckets.length : found;
      one.counts[bucket] = (one.counts[bucket] ?? 0) + 1;
      one.sum += value;
    };
    return this.#register(name, {
      kind: "histogram",
      help,
      handle: {
        observe: (value, labels) => observe(labelText(labels), value),
        series(labels: Labels) {
          const key = labelText(labels);
          return { observe: (value) => observe(key, value) };
        },
      },
      print: (metric, lines) => {
        for (const [labels, one] of series) printSeries(metric, labels, buckets, one, lines);
      },
    }) as Histogram;
  }

  collect(kind: "counter" | "gauge", name: string, help: string, read: () => Iterable<Sample>): void {
    this.#register(name, {
      kind,
      help,
      handle: undefined,
      print: (metric, lines) => {
        const values = new Map<string, number>();
        for (const { labels, value } of read()) if (value !== null) values.set(labelText(labels), value);
        printValues(metric, values, lines);
      },
    });
  }

  /** The whole text. A collector that throws is left out, and the others are printed. */
  render(): string {
    const out: string[] = [];
    for (const [name, family] of this.#families) {
      const lines: string[] = [];
      try {
        family.print(name, lines);
      } catch {
        continue;
      }
      if (lines.length === 0) continue;
      out.push(`# HELP ${name} ${family.help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`);
      out.push(`# TYPE ${name} ${family.kind}`, ...lines);
    }
    return `${out.join("\n")}\n`;
  }

  #register(name: string, family: Family): Family["handle"] {
    invariant(/^millrace_[a-z0-9_]+$/.test(name), `"${name}" is no name of a metric`);
    const known = this.#families.get(name);
    if (known) {
      invariant(known.kind === family.kind && known.handle !== undefined, `metric ${name} was made as another thing`);
      return known.handle;
    }
    this.#families.set(name, family);
    return family.handle;
  }

  #hasRoom(values: ReadonlyMap<string, unknown>, key: string): boolean {
    if (values.has(key) || values.size < labelSetsMax) return true;
    this.#dropped++;
    return false;
  }
}

interface Series {
  readonly counts: number[];
  sum: number;
}

function printValues(name: string, values: ReadonlyMap<string, number>, lines: string[]): void {
  for (const [labels, value] of values) lines.push(`${name}${braced(labels)} ${number(value)}`);
}

function printSeries(
  name: string,
  labels: string,
  buckets: readonly number[],
  { counts, sum }: Series,
  lines: string[],
): void {
  const before = labels === "" ? "" : `${labels},`;
  let total = 0;
  counts.forEach((count, i) => {
    total += count;
    lines.push(`${name}_bucket{${before}le="${i < buckets.length ? number(buckets[i] ?? 0) : "+Inf"}"} ${total}`);
  });
  lines.push(`${name}_sum${braced(labels)} ${number(sum)}`, `${name}_count${braced(labels)} ${total}`);
}

/** Labels sorted by name, so that one set has one text. */
function labelText(labels: Labels | undefined): string {
  if (!labels) return "";
  return Object.entries(labels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}="${escapeLabel(value)}"`)
    .join(",");
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function braced(labels: string): string {
  return labels === "" ? "" : `{${labels}}`;
}

function number(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}
