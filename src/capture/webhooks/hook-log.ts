/** Where a source's events go: opens its topic, its ids and their owner, and tries again where that may pass. */
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import type { Diagnostics } from "../../base/diagnostics.ts";
import type { Disk } from "../../base/disk.ts";
import { MillraceError } from "../../base/errors.ts";
import type { WebhookDefinition } from "../../catalog/definitions.ts";
import type { Engine } from "../../engine/engine.ts";
import { unitOfHook } from "../../ownership/become-owner.ts";
import type { ProgressTable } from "../../ownership/progress-table.ts";
import type { SourceState } from "../source.ts";
import { type Accepted, Acceptor, type AcceptorLimits } from "./acceptor.ts";
import type { HookEvent } from "./hook-event.ts";
import { openHookTopic } from "./hook-topic.ts";
import { IdCheckpoint } from "./id-checkpoint.ts";
import { IdFold } from "./id-fold.ts";

export interface HookLogTools {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly disk: Disk;
  readonly diagnostics: Diagnostics;
  readonly progress: ProgressTable;
  /** Checkpoints of ids are kept below it, in a folder per source. */
  readonly directory: string;
  readonly limits?: Partial<AcceptorLimits>;
  readonly checkpointEvery?: number;
}

export interface HookLog {
  readonly state: SourceState;
  /** Empty until the topic is open. */
  readonly topicId: string;
  readonly counts: {
    readonly evicted: number;
    readonly late: number;
    readonly recordsRead: number;
    readonly ids: { readonly held: number; readonly bytes: number };
  };
  /** Ids of everything that arrived since then are known; undefined until the topic was read. */
  readonly idsSinceMs: number | undefined;
  /** Throws what `accept` would throw at once. */
  assertServing(): void;
  /** As `Acceptor.accept`. */
  accept(event: HookEvent): Promise<Accepted> | Accepted;
  close(): Promise<void>;
}

/** Answers at once and opens by itself. */
export function openHookLog(definition: WebhookDefinition, tools: HookLogTools): HookLog {
  const log = new OpeningLog(definition, tools);
  log.start();
  return log;
}

const retryMs = 2_000;

class OpeningLog implements HookLog {
  readonly #definition: WebhookDefinition;
  readonly #tools: HookLogTools;
  #acceptor: Acceptor | undefined;
  #ids: IdFold | undefined;
  #state: SourceState = { kind: "connecting" };
  #topicId = "";
  #opening: Promise<void> = Promise.resolve();
  #timer: { cancel(): void } | undefined;
  #isClosed = false;

  constructor(definition: WebhookDefinition, tools: HookLogTools) {
    this.#definition = definition;
    this.#tools = tools;
  }

  get state(): SourceState {
    return this.#acceptor?.state ?? this.#state;
  }

  get topicId(): string {
    return this.#topicId;
  }

  get counts() {
    const { size: held = 0, bytes = 0 } = this.#ids?.table ?? {};
    const { evicted = 0, recordsRead = 0 } = this.#ids ?? {};
    return { evicted, recordsRead, late: this.#acceptor?.late ?? 0, ids: { held, bytes } };
  }

  get idsSinceMs(): number | undefined {
    return this.state.kind === "streaming" ? this.#ids?.knownSinceMs : undefined;
  }

  start(): void {
    this.#opening = this.#open().catch((thrown) => this.#failed(MillraceError.from(thrown)));
  }

  assertServing(): void {
    if (this.#acceptor) this.#acceptor.assertServing();
    else throw this.#notOpen();
  }

  accept(event: HookEvent): Promise<Accepted> | Accepted {
    if (!this.#acceptor) throw this.#notOpen();
    return this.#acceptor.accept(event);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#opening;
    await this.#acceptor?.close();
    this.#state = { kind: "stopped" };
  }

  async #open(): Promise<void> {
    const { engine, clock, disk, diagnostics, directory, progress, limits, checkpointEvery } = this.#tools;
    const { name, dedupeMs, idsMax } = this.#definition;
    const topic = await openHookTopic(engine, this.#definition);
    if (this.#isClosed) return;
    const ids = new IdFold({
      engine,
      clock,
      diagnostics,
      topic,
      idsMax,
      windowMs: dedupeMs,
      checkpoint: new IdCheckpoint(disk, join(directory, name)),
      ...(checkpointEvery === undefined ? {} : { checkpointEvery }),
    });
    this.#topicId = topic.id;
    this.#ids = ids;
    this.#acceptor = new Acceptor({
      engine,
      clock,
      diagnostics,
      progress,
      ids,
      unit: unitOfHook(name),
      topic: name,
      partitions: topic.settings.partitions,
      batchBytesMax: topic.settings.batchBytesMax,
      ...(limits === undefined ? {} : { limits }),
    });
    this.#acceptor.start();
  }

  #failed(error: MillraceError): void {
    const { clock, diagnostics } = this.#tools;
    diagnostics.error("a webhook source cannot be opened", { source: this.#definition.name, error });
    // Another definition or another topic is needed; both come with a new start.
    if (error.code === "TOPIC_EXISTS") {
      this.#state = { kind: "failed", error };
      return;
    }
    this.#state = { kind: "waiting", error, retryAtMs: clock.now() + retryMs };
    this.#timer = clock.after(retryMs, () => {
      if (!this.#isClosed) this.start();
    });
  }

  #notOpen(): MillraceError {
    if (this.#isClosed) return new MillraceError("SHUTTING_DOWN", "Millrace is stopping");
    const { name } = this.#definition;
    const cause = "error" in this.#state ? this.#state.error : undefined;
    return new MillraceError("UNIT_MOVING", `source "${name}" is not open yet`, {
      hint: "Send it again later.",
      cause,
    });
  }
}
