/** Metrics that are read from the parts' own status when somebody asks for them, so that nothing is counted twice. */
import type { Clock } from "../base/clock.ts";
import type { Metrics, Sample } from "../base/metrics.ts";
import type { SourceStatus } from "../capture/source.ts";
import type { Answer, Engine, PartitionOffsets } from "../engine/engine.ts";
import type { PublicationInfo, PublicationsInfo } from "../publish/publication-info.ts";
import type { GroupStatus } from "../views/groups.ts";
import type { RowCacheFigures, Views } from "../views/view-info.ts";

/** Sizes and offsets of every topic. Where an engine has to ask for them, those of the look before are told. */
export function collectLog(metrics: Metrics, engine: Engine): void {
  const sizes = new LastLook<number>();
  const offsets = new LastLook<PartitionOffsets>();
  metrics.collect("gauge", "millrace_log_bytes", "Bytes on disk of a topic.", () => {
    const topics = engine.topics();
    sizes.keepOnly(topics.map(({ id }) => id));
    return topics.map(({ id, name }) => ({
      labels: { topic: name },
      value: sizes.of(id, () => engine.sizeBytes(name)) ?? null,
    }));
  });
  const perPartition = (pick: "highWatermark" | "logStart" | "lastStable") =>
    function* (): Iterable<Sample> {
      const topics = engine.topics();
      offsets.keepOnly(
        topics.flatMap(({ id, settings }) => Array.from({ length: settings.partitions }, (_, i) => `${id}/${i}`)),
      );
      for (const { id, name, settings } of topics) {
        for (let partition = 0; partition < settings.partitions; partition++) {
          const known = offsets.of(`${id}/${partition}`, () => engine.offsets(name, partition));
          yield { labels: { topic: name, partition: String(partition) }, value: known?.[pick] ?? null };
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

/** What was answered last, for those who cannot wait for an answer. As large as what it is told to keep. */
class LastLook<T> {
  readonly #known = new Map<string, T>();
  readonly #asked = new Set<string>();

  /** Undefined where nothing is known, or where asking failed. */
  of(key: string, ask: () => Answer<T>): T | undefined {
    if (this.#asked.has(key)) return this.#known.get(key);
    try {
      const answer = ask();
      if (!(answer instanceof Promise)) return answer;
      this.#asked.add(key);
      answer
        .then(
          (value) => this.#known.set(key, value),
          () => this.#known.delete(key),
        )
        .finally(() => this.#asked.delete(key));
    } catch {
      return undefined;
    }
    return this.#known.get(key);
  }

  keepOnly(keys: readonly string[]): void {
    const kept = new Set(keys);
    for (const key of this.#known.keys()) if (!kept.has(key)) this.#known.delete(key);
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
    "gauge",
    "millrace_source_wal_held_bytes",
    "What the source's server keeps of its log for the slot.",
    each((status) => status.wal?.heldBytes ?? null),
  );
  metrics.collect(
    "gauge",
    "millrace_source_wal_safe_bytes",
    "What can still be written in the source before the slot is lost; nothing where the server sets no bound.",
    each((status) => status.wal?.safeBytes ?? null),
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

/** State and work of every view; one that is in another group than `main` names it. */
export function collectViews(metrics: Metrics, views: Views): void {
  metrics.collect("gauge", "millrace_view_state", "1 for the state that a view is in.", () =>
    views.list().map((view) => ({ labels: { ...inGroup(view), view: view.name, state: view.state.kind }, value: 1 })),
  );
  metrics.collect("gauge", "millrace_view_rows", "PostgreSQL's estimate of a view's rows.", () =>
    views.list().map((view) => ({ labels: { ...inGroup(view), view: view.name }, value: view.rowsEstimated })),
  );
  metrics.collect("counter", "millrace_view_changes_total", "Change rows written since the start.", () =>
    views.list().map((view) => ({ labels: { ...inGroup(view), view: view.name }, value: view.changes })),
  );
  metrics.collect("gauge", "millrace_topic_watermark_seconds", "Up to when events of all partitions have come.", () => {
    const told = views
      .list()
      .flatMap((view) =>
        (view.watermarks ?? []).flatMap(({ topic, atMs }) =>
          atMs === null ? [] : [{ labels: { ...inGroup(view), topic }, value: atMs / 1_000 }],
        ),
      );
    return [...new Map(told.map((one) => [JSON.stringify(one.labels), one])).values()];
  });
  const perCache = (pick: (figures: RowCacheFigures) => number) => () =>
    views.rowCache().map((figures) => ({ labels: { ...inGroup(figures), view: figures.view }, value: pick(figures) }));
  metrics.collect(
    "counter",
    "millrace_view_row_hits_total",
    "Reads by key that were answered from memory.",
    perCache(({ hits }) => hits),
  );
  metrics.collect(
    "counter",
    "millrace_view_row_misses_total",
    "Reads by key that the store answered, to be kept in memory.",
    perCache(({ misses }) => misses),
  );
  metrics.collect(
    "gauge",
    "millrace_view_row_bytes",
    "What is kept in memory of a view's rows.",
    perCache(({ bytes }) => bytes),
  );
}

function inGroup({ group }: { readonly group?: string }): Readonly<Record<string, string>> {
  return group === undefined ? {} : { group };
}

/** State and position of every group of views. */
export function collectGroups(
  metrics: Metrics,
  list: () => readonly Pick<GroupStatus, "name" | "condition" | "position">[],
): void {
  metrics.collect("gauge", "millrace_views_group_state", "1 for the state that a group of views is in.", () =>
    list().map(({ name, condition }) => ({ labels: { group: name, state: condition.kind }, value: 1 })),
  );
  metrics.collect("gauge", "millrace_views_batch", "The number of the last committed batch.", () =>
    list().map(({ name, position }) => ({ labels: { group: name }, value: position.batch })),
  );
  metrics.collect("gauge", "millrace_views_generation", "The generation of the change rows.", () =>
    list().map(({ name, position }) => ({ labels: { group: name }, value: position.generation })),
  );
}

/** What the publishers have written, and what their topics lack. */
export function collectPublishers(metrics: Metrics, publications: PublicationsInfo): void {
  const each = (pick: (one: PublicationInfo) => number | null) => () =>
    publications.list().map((one) => ({ labels: { view: one.view, topic: one.topic }, value: pick(one) }));
  metrics.collect("gauge", "millrace_publisher_state", "1 for the state that a publisher is in.", () =>
    publications.list().map(({ view, topic, state }) => ({ labels: { view, topic, state: state.kind }, value: 1 })),
  );
  metrics.collect(
    "gauge",
    "millrace_publisher_behind_batches",
    "Batches of the group that a view's topic lacks; nothing while it is compared.",
    each(({ behind }) => behind),
  );
  metrics.collect(
    "counter",
    "millrace_publisher_batches_total",
    "Batches with changes that were published since the start.",
    each(({ batches }) => batches),
  );
  metrics.collect(
    "counter",
    "millrace_publisher_records_total",
    "Records that were published since the start.",
    each(({ records }) => records),
  );
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
