/** All sources of webhooks of the process: opened from definitions, given new ones, closed together. */
import type { Metrics } from "../../base/metrics.ts";
import type { Definition, WebhookDefinition } from "../../catalog/definitions.ts";
import { BodyRoom, type BodyRoomLimits } from "./body-room.ts";
import { Hook, type HookTools } from "./hook.ts";
import type { HookStatus } from "./hook-status.ts";
import { collectReconciling } from "./reconcile/reconcile-metrics.ts";

export interface HooksOptions extends HookTools {
  readonly metrics: Metrics;
  readonly room?: BodyRoomLimits;
}

export class Hooks {
  readonly #options: HooksOptions;
  readonly #room: BodyRoom;
  readonly #hooks = new Map<string, Hook>();

  constructor(options: HooksOptions) {
    this.#options = options;
    this.#room = new BodyRoom(options.room);
    this.#collect(options.metrics);
  }

  get(name: string): Hook | undefined {
    return this.#hooks.get(name);
  }

  names(): readonly string[] {
    return [...this.#hooks.keys()];
  }

  /** Of calls that are on their way. */
  get bytesHeld(): number {
    return this.#room.bytes;
  }

  list(): HookStatus[] {
    return [...this.#hooks.values()].map((hook) => hook.status());
  }

  status(name: string): HookStatus | undefined {
    return this.#hooks.get(name)?.status();
  }

  /** Opens what is new, closes what is gone, and opens anew what keeps its topic or its ids otherwise. */
  async apply(definitions: readonly Definition[]): Promise<void> {
    const wanted = new Map(definitions.filter((one) => one.kind === "webhook").map((one) => [one.name, one]));
    for (const [name, hook] of this.#hooks) {
      const now = wanted.get(name);
      if (now && isKeptAlike(now, hook.definition)) {
        await hook.redefine(now);
        continue;
      }
      this.#hooks.delete(name);
      await hook.close();
    }
    for (const [name, definition] of wanted) {
      if (!this.#hooks.has(name)) this.#hooks.set(name, new Hook(definition, this.#options, this.#room));
    }
  }

  /** Takes nothing more, lets what waits be committed, and writes the checkpoints. */
  async close(): Promise<void> {
    const all = [...this.#hooks.values()];
    await Promise.all(all.map((hook) => hook.close()));
  }

  #collect(metrics: Metrics): void {
    const each = (read: (hook: HookStatus["hook"]) => Readonly<Record<string, number>>, label: string) => () =>
      this.list().flatMap(({ name, hook }) =>
        Object.entries(read(hook)).map(([kind, value]) => ({ labels: { source: name, [label]: kind }, value })),
      );
    const one = (read: (hook: HookStatus["hook"]) => number) => () =>
      this.list().map(({ name, hook }) => ({ labels: { source: name }, value: read(hook) }));
    metrics.collect(
      "counter",
      "millrace_hook_calls_total",
      "Webhook calls that were answered with success, by outcome.",
      each(
        ({ accepted, duplicates, challenges }) => ({ accepted, duplicate: duplicates, challenge: challenges }),
        "outcome",
      ),
    );
    metrics.collect(
      "counter",
      "millrace_hook_refused_total",
      "Webhook calls that were refused, by reason.",
      each(({ refused }) => refused, "reason"),
    );
    metrics.collect(
      "counter",
      "millrace_hook_faults_total",
      "Functions of a webhook's definition that failed; the event was kept.",
      each(({ faults }) => faults, "function"),
    );
    metrics.collect(
      "counter",
      "millrace_hook_late_total",
      "Events behind a later one of their key.",
      one(({ late }) => late),
    );
    metrics.collect(
      "gauge",
      "millrace_hook_ids",
      "Ids that are remembered.",
      one(({ ids }) => ids.held),
    );
    metrics.collect(
      "gauge",
      "millrace_hook_id_bytes",
      "Memory of the ids that are remembered.",
      one(({ ids }) => ids.bytes),
    );
    metrics.collect(
      "counter",
      "millrace_hook_ids_evicted_total",
      "Ids that had to go before their time, because there were too many.",
      one(({ ids }) => ids.evicted),
    );
    collectReconciling(metrics, () => this.list());
    metrics.collect("gauge", "millrace_hook_body_bytes", "Bytes of calls that are on their way.", () => [
      { value: this.#room.bytes },
    ]);
  }
}

/** Whether the topic and the ids of one definition are those of the other. */
function isKeptAlike(a: WebhookDefinition, b: WebhookDefinition): boolean {
  return (
    a.partitions === b.partitions &&
    a.retentionMs === b.retentionMs &&
    a.dedupeMs === b.dedupeMs &&
    a.idsMax === b.idsMax &&
    a.bodyBytesMax === b.bodyBytesMax
  );
}
