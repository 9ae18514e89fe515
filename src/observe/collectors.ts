/** Metrics that are read from the parts' own status when somebody asks for them, so that nothing is counted twice. */
import type { Clock } from "../base/clock.ts";
import type { Metrics, Sample } from "../base/metrics.ts";
import type { SourceStatus } from "../capture/source.ts";
import type { Engine } from "../engine/engine.ts";
import type { Views } from "../views/view-info.ts";

/** Sizes and offsets of every topic. */
export function collectLog(metrics: Metrics, engine: Engine): void {
  metrics.collect("gauge", "millrace_log_bytes", "Bytes on disk of a topic.", () =>
    engine.topics().map((topic) => ({ labels: { topic: topic.name }, value: engine.sizeBytes(topic.name) })),
  );
  const perPartition = (pick: "highWatermark" | "logStart" | "lastStable") =>
    function* (): Iterable<Sample> {
      for (const { name, settings } of engine.topics()) {
        for (let partition = 0; partition < settings.partitions; partition++) {
          yield {
            labels: { topic: name, partition: String(partition) },
            value: offsetOf(engine, name, partition, pick),
          };
        }
      }
    };
  metrics.collect(
    "gauge",
    "millrace_log_high_watermark",
    "The offset after the last durable record.",
    perPartition("highWatermark"),
  );
  metrics.collect(
    "gauge",
    "millrace_log_last_stable",
    "The first offset that committed reads do not reach yet.",
    perPartition("lastStable"),
  );
  metrics.collect("gauge", "millrace_log_start", "The first retained offset.", perPartition("logStart"));
}

/** Null where the partition has failed. */
function offsetOf(
  engine: Engine,
  topic: string,
  partition: number,
  pick: "highWatermark" | "logStart" | "lastStable",
): number | null {
  try {
    return engine.offsets(topic, partition)[pick];
  } catch {
    return null;
  }
}

/** State, lag and work of every source. */
export function collectSources(metrics: Metrics, list: () => readonly SourceStatus[]): void {
  const each = (value: (status: SourceStatus) => number | null) => () =>
    list().map((status) => ({ labels: { source: status.name }, value: value(status) }));
  metrics.collect("gauge", "millrace_source_state", "1 for the state that a source is in.", () =>
    list().map((status) => ({ labels: { source: status.name, state: status.state.kind }, value: 1 })),
  );
  metrics.collect(
    "gauge",
    "millrace_source_lag_bytes",
    "How far the source's end is ahead of the log.",
    each((status) => status.lagBytes),
  );
  metrics.collect(
    "gauge",
    "millrace_source_lag_seconds",
    "Age of the oldest change that is not in the log.",
    each((status) => (status.lagMs === null ? null : status.lagMs / 1000)),
  );
  metrics.collect(
    "counter",
    "millrace_source_changes_total",
    "Changes written to the log since the start.",
    each((status) => status.changes),
  );
  metrics.collect(
    "counter",
    "millrace_source_transactions_total",
    "Source transactions written to the log since the start.",
    each((status) => status.transactions),
  );
}

/** State and work of every view, and the position of their group. */
export function collectViews(metrics: Metrics, views: Views): void {
  metrics.collect("gauge", "millrace_view_state", "1 for the state that a view is in.", () =>
    views.list().map((view) => ({ labels: { view: view.name, state: view.state.kind }, value: 1 })),
  );
  metrics.collect("gauge", "millrace_view_rows", "PostgreSQL's estimate of a view's rows.", () =>
    views.list().map((view) => ({ labels: { view: view.name }, value: view.rowsEstimated })),
  );
  metrics.collect("counter", "millrace_view_changes_total", "Change rows written since the start.", () =>
    views.list().map((view) => ({ labels: { view: view.name }, value: view.changes })),
  );
  metrics.collect("gauge", "millrace_views_batch", "The number of the last committed batch.", () => [
    { labels: { group: "main" }, value: views.position().batch },
  ]);
  metrics.collect("gauge", "millrace_views_generation", "The generation of the change rows.", () => [
    { labels: { group: "main" }, value: views.position().generation },
  ]);
}

/** Memory and age of the process. */
export function collectProcess(metrics: Metrics, clock: Clock): void {
  const startedMs = clock.monotonicMs();
  metrics.collect("gauge", "millrace_process_resident_bytes", "Resident memory of the process.", () => [
    { value: process.memoryUsage.rss() },
  ]);
  metrics.collect("gauge", "millrace_process_heap_bytes", "JavaScript heap in use.", () => [
    { value: process.memoryUsage().heapUsed },
  ]);
  metrics.collect("gauge", "millrace_process_uptime_seconds", "Time since the start.", () => [
    { value: (clock.monotonicMs() - startedMs) / 1000 },
  ]);
}

export interface EventLoopWatch {
  close(): void;
}

/** How late a timer fires that is due every `intervalMs`: what else ran, or whether the whole process stood still. */
export function watchEventLoop(metrics: Metrics, clock: Clock, intervalMs = 250): EventLoopWatch {
  const delay = metrics.histogram(
    "millrace_event_loop_delay_seconds",
    "How late a timer fired.",
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
  );
  let dueMs = clock.monotonicMs() + intervalMs;
  const tick = () => {
    const nowMs = clock.monotonicMs();
    delay.observe(Math.max(0, nowMs - dueMs) / 1000);
    dueMs = nowMs + intervalMs;
    timer = clock.after(intervalMs, tick);
  };
  let timer = clock.after(intervalMs, tick);
  return { close: () => timer.cancel() };
}
