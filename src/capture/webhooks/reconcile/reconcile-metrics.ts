/** Metrics of the reconciling of all sources. */
import type { Metrics } from "../../../base/metrics.ts";
import type { HookStatus } from "../hook-status.ts";
import type { ReconcileStatus } from "./reconcile-status.ts";

export function collectReconciling(metrics: Metrics, list: () => readonly HookStatus[]): void {
  const each = (read: (status: ReconcileStatus) => number | undefined) => () =>
    list().flatMap(({ name, hook }) => {
      const value = hook.reconcile ? read(hook.reconcile) : undefined;
      return value === undefined ? [] : [{ labels: { source: name }, value }];
    });
  const counter = (name: string, about: string, read: (status: ReconcileStatus) => number) =>
    metrics.collect("counter", name, about, each(read));
  counter("millrace_reconcile_pages_total", "Pages of the vendor's list that were kept.", ({ pages }) => pages);
  counter("millrace_reconcile_failures_total", "Tries that the vendor's list failed.", ({ failures }) => failures);
  counter("millrace_reconcile_listed_total", "Events of the vendor's list, copies included.", ({ listed }) => listed);
  counter("millrace_reconcile_missed_total", "Events that no webhook had brought.", ({ missed }) => missed);
  counter("millrace_reconcile_altered_total", "Events that the list has otherwise.", ({ altered }) => altered);
  counter(
    "millrace_reconcile_unusable_total",
    "Events of the list that could not be kept.",
    ({ unusable }) => unusable.form + unusable.size + unusable.id,
  );
  metrics.collect(
    "gauge",
    "millrace_reconcile_complete_timestamp_seconds",
    "Everything before this time was asked for.",
    each(({ completeTo }) => (completeTo === null ? undefined : Date.parse(completeTo) / 1_000)),
  );
}
