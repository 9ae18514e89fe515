/**
 * Publishes one view to one topic: each batch's changes and the progress in one log transaction, as soon as the batch is
 * committed; many batches together when it is behind.
 *
 * Always true: what is readable in the topic, folded by key, is the view at the position that its progress names. A batch is
 * there whole and once, or not at all. The view and its group wait for nothing here: what the log, the store or a row
 * refuses is told in the state, and tried again.
 * Where it cannot go on from its progress (another generation, change rows that are gone, a topic that is new or was somebody
 * else's), it compares the topic with a snapshot of the view and writes the difference.
 */
import type { Client } from "pg";
import type { Clock, Timer } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import type { Gate } from "../base/gate.ts";
import { type Publication, publishKeyMissing } from "../catalog/publishing.ts";
import type { Engine } from "../engine/engine.ts";
import { becomeOwner, type Ownership, unitOfPublisher } from "../ownership/become-owner.ts";
import type { ProgressTable } from "../ownership/progress-table.ts";
import type { ChangesAnswer, GroupPosition, ViewChange, ViewsReader } from "../views/view-info.ts";
import { type KeyText, keyTextOf } from "./key-text.ts";
import type { PublicationInfo, PublisherState } from "./publication-info.ts";
import { type OwnedTopic, ownTopic, progressAt } from "./published-topic.ts";
import { TopicCopy } from "./topic-copy.ts";
import { TopicWriter } from "./topic-writer.ts";

export type PublishedReader = Pick<
  ViewsReader,
  "changesOf" | "changesSince" | "info" | "onChange" | "position" | "snapshot"
>;

export interface PublisherOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly progress: ProgressTable;
  readonly reader: PublishedReader;
  /** For the comparison of a topic with a view. */
  readonly store: { connect(name: string, view: string): Promise<Client> };
  /** How many may be compared at the same time: each holds a snapshot and a connection of its own. */
  readonly comparisons: Gate;
  /** Why a record does not fit the schema of its topic; null when it does. */
  readonly misfitOf: (topic: string, record: { key: Buffer; value: Buffer | null }) => string | null;
}

/** As the log has it. */
interface Unit {
  readonly owner: Ownership;
  readonly topic: OwnedTopic;
  /** Null when topic and view have to be compared. */
  position: GroupPosition | null;
  /** Of the last progress in the log. */
  notedMs: number;
  isNoted: boolean;
}

/** Batches without changes of the view move the progress on this often, so that a restart finds its change rows. */
const noteEveryMs = 30_000;
const retryMsMin = 250;
const retryMsMax = 30_000;
/** Of what only an edit of a row or of the topic can mend. */
const rowRetryMsMax = 600_000;

/** What the topic does not take of a row. */
const rowRefusals: readonly string[] = ["RECORD_TOO_LARGE", "RECORD_INVALID", "SCHEMA_MISMATCH"];
/** Nothing but other definitions, or another start, can mend these. */
const finalRefusals: readonly string[] = [
  "PRODUCER_FENCED",
  "PUBLISH_TOPIC_TAKEN",
  "PUBLISH_TOPIC_NOT_COMPACTED",
  "TOPIC_CHANGE_REFUSED",
];

export class Publisher {
  readonly publication: Publication;
  readonly #options: PublisherOptions;
  readonly #diagnostics: Diagnostics;
  readonly #closing = new AbortController();
  #state: PublisherState = { kind: "starting" };
  #unit: Unit | undefined;
  #position: GroupPosition | null = null;
  #records = 0;
  #batches = 0;
  /** After a row was refused: whether it still is there, only the view itself can tell. */
  #isComparedAnew = false;
  #toldCode: string | null = null;
  #wake = () => {};
  #isWoken = false;
  #running: Promise<void> | undefined;

  constructor(publication: Publication, options: PublisherOptions) {
    this.publication = publication;
    this.#options = options;
    this.#diagnostics = options.diagnostics.child({ view: publication.view, topic: publication.topic });
  }

  start(): void {
    this.#running ??= this.#run();
  }

  info(): PublicationInfo {
    const { view, topic } = this.publication;
    const counted = { records: this.#records, batches: this.#batches };
    return { view, topic, state: this.#state, position: this.#position, behind: this.#behind(), ...counted };
  }

  /** What is being written ends; progress that only stands in memory is written. Never throws. */
  async close(): Promise<void> {
    this.#closing.abort(new MillraceError("SHUTTING_DOWN", "the publisher is stopping"));
    this.#wake();
    await this.#running;
  }

  #behind(): number | null {
    const at = this.#position;
    const current = this.#options.reader.position(this.publication.view);
    if (at === null || at.generation !== current.generation) return null;
    return Math.max(0, current.batch - at.batch);
  }

  async #run(): Promise<void> {
    const unsubscribe = this.#options.reader.onChange(() => {
      this.#isWoken = true;
      this.#wake();
    });
    const refusal = await this.#follow();
    unsubscribe();
    if (refusal) {
      this.#state = { kind: "stopped", error: refusal };
      this.#diagnostics.error("the view is not published", { code: refusal.code, reason: refusal.message });
    } else if (this.#unit) await this.#note(this.#unit).catch(() => {});
  }

  /** Until it is closed; answers what ended it before. */
  async #follow(): Promise<MillraceError | null> {
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted; ) {
      try {
        this.#unit ??= await this.#takeOver();
        this.#isWoken = false;
        const hasMoved = await this.#step(this.#unit);
        failures = 0;
        this.#toldCode = null;
        if (!hasMoved) await this.#woken(this.#unit);
      } catch (thrown) {
        if (signal.aborted) break;
        const error = MillraceError.from(thrown);
        if (finalRefusals.includes(error.code)) return error;
        await this.#pause(error, ++failures);
      }
    }
    return null;
  }

  /** Waits for its time, or where the view itself was the trouble, for a change of it. */
  async #pause(error: MillraceError, failures: number): Promise<void> {
    const { clock } = this.#options;
    const isOfRow = rowRefusals.includes(error.code);
    if (isOfRow) this.#isComparedAnew = true;
    const pauseMs = Math.min(isOfRow ? rowRetryMsMax : retryMsMax, retryMsMin * 2 ** Math.min(failures, 20));
    this.#state = { kind: "waiting", error, retryAtMs: clock.now() + pauseMs };
    this.#tell(error);
    if (!isOfView(error)) await clock.sleep(pauseMs, this.#closing.signal).catch(() => {});
    else if (!this.#isWoken) await this.#changed(pauseMs);
  }

  /** Once, until it works again or something else is the matter. */
  #tell({ code, message }: MillraceError): void {
    if (this.#toldCode === code) return;
    this.#toldCode = code;
    const level = code === "VIEW_BUILDING" ? "info" : "warn";
    this.#diagnostics[level]("the view is not published for now", { code, reason: message });
  }

  async #takeOver(): Promise<Unit> {
    const { engine, clock, progress } = this.#options;
    this.#state = this.#state.kind === "waiting" ? this.#state : { kind: "starting" };
    const owner = await becomeOwner(engine, unitOfPublisher(this.publication.topic), { progress });
    const topic = await ownTopic(engine, owner, this.publication);
    this.#position = topic.position;
    const position = this.#isComparedAnew ? null : topic.position;
    return { owner, topic, position, notedMs: clock.monotonicMs(), isNoted: true };
  }

  /** False when there is nothing to do by now. */
  async #step(unit: Unit): Promise<boolean> {
    const { reader } = this.#options;
    const { view } = this.publication;
    if (unit.position === null) {
      await this.#compare(unit);
      return true;
    }
    const { generation, batch } = reader.position(view);
    if (unit.position.generation === generation && unit.position.batch === batch) {
      this.#state = { kind: "publishing" };
      await this.#noteInTime(unit);
      return false;
    }
    const before = unit.position;
    const answer = await reader.changesSince(view, before, null);
    if (answer.outcome === "gap") {
      this.#diagnostics.info("the topic is compared with the view", { reason: answer.reason });
      unit.position = null;
      await this.#compare(unit);
      return true;
    }
    await this.#publish(unit, answer);
    this.#state = { kind: "publishing" };
    // It may have read what the group is about to tell.
    return answer.upTo.batch !== before.batch;
  }

  async #publish(unit: Unit, { batches, upTo }: Extract<ChangesAnswer, { outcome: "changes" }>): Promise<void> {
    if (batches.length === 0) {
      this.#reached(unit, upTo, false);
      return;
    }
    const keyText = this.#keyTextOf(upTo);
    await this.#inTransaction(unit, upTo, async (writer) => {
      for (const { position, changes, large } of batches) {
        writer.at(position);
        const pages = large ? await this.#pagesOf(position) : [changes];
        for await (const page of pages) {
          this.#closing.signal.throwIfAborted();
          for (const change of page) await this.#write(writer, keyText, change);
        }
      }
    });
    this.#batches += batches.length;
  }

  async #pagesOf(position: GroupPosition): Promise<AsyncIterable<readonly ViewChange[]>> {
    const pages = await this.#options.reader.changesOf(this.publication.view, position, null);
    if (pages) return pages;
    // It went between two reads; the next step is told of the gap.
    throw new MillraceError("VIEW_BUILDING", `the changes of view "${this.publication.view}" are no longer kept`);
  }

  async #write(writer: TopicWriter, keyText: KeyText, { key, row }: ViewChange): Promise<void> {
    // Of a view that lost its key, what follows is a gap.
    if (key === null) throw publishKeyMissing(this.publication.view, this.publication.topic);
    await this.#add(writer, { key: Buffer.from(keyText(key)), value: row === null ? null : Buffer.from(row) });
  }

  async #add(
    writer: TopicWriter,
    record: { readonly key: Buffer; readonly value: Buffer | null },
    partition?: number,
  ): Promise<void> {
    const { topic } = this.publication;
    const misfit = this.#options.misfitOf(topic, record);
    if (misfit !== null) {
      const key = record.key.toString().slice(0, 200);
      throw new MillraceError("SCHEMA_MISMATCH", `the row with the key ${JSON.stringify(key)}: ${misfit}`, {
        hint: `Correct the row, or the schema of topic "${topic}".`,
        details: { topic, key },
      });
    }
    await writer.add(record.key, record.value, partition);
  }

  async #compare(unit: Unit): Promise<void> {
    // The topic is not read while the view cannot be.
    this.#assertReadable();
    this.#state = { kind: "comparing" };
    await this.#options.comparisons.run(() => this.#writeDifference(unit));
    this.#isComparedAnew = false;
  }

  /** Of the topic's last values to a snapshot of the view. */
  async #writeDifference(unit: Unit): Promise<void> {
    const { engine, reader, store } = this.#options;
    const { view, topic } = this.publication;
    const { signal } = this.#closing;
    signal.throwIfAborted();
    const connect = () => store.connect(`publish ${topic}`, view);
    await using copy = await TopicCopy.read({ engine, topic: unit.topic.info, connect, signal });
    const { position, pages } = await reader.snapshot(view, null);
    let keyText: KeyText | undefined;
    await this.#inTransaction(unit, position, async (writer) => {
      writer.at(position);
      for await (const rows of pages) {
        signal.throwIfAborted();
        keyText ??= this.#keyTextOf(position);
        const textOf = keyText;
        const page = rows.map((row) => {
          const key = Buffer.from(textOf(row));
          return { partition: writer.partitionOf(key), key, value: Buffer.from(row) };
        });
        for (const record of await copy.unlike(page)) await this.#add(writer, record);
      }
      for await (const gone of copy.rest()) {
        signal.throwIfAborted();
        // In its own partition, wherever whoever wrote it has put it.
        for (const { key, partition } of gone) await writer.add(key, null, partition);
      }
    });
  }

  /** Throws `PUBLISH_KEY_MISSING`, `VIEW_BUILDING`, `VIEW_FAILED`, `VIEW_UNKNOWN`. */
  #assertReadable(): void {
    const { view, topic } = this.publication;
    const { key, state } = this.#options.reader.info(view);
    if (state.kind === "building") throw new MillraceError("VIEW_BUILDING", `view "${view}" ${state.reason}`);
    if (state.kind === "failed") {
      throw new MillraceError("VIEW_FAILED", `view "${view}": ${state.error.message}`, { cause: state.error });
    }
    if (key === null) throw publishKeyMissing(view, topic);
  }

  /** Of rows at this position. What the view's key is stands in memory, of the version that can be read now. */
  #keyTextOf({ generation }: GroupPosition): KeyText {
    const { reader } = this.#options;
    const { view } = this.publication;
    this.#assertReadable();
    if (reader.position(view).generation !== generation) {
      throw new MillraceError("VIEW_BUILDING", `view "${view}" is being replaced`);
    }
    const { key, columns } = reader.info(view);
    return keyTextOf(key ?? [], columns);
  }

  async #inTransaction(unit: Unit, upTo: GroupPosition, fill: (writer: TopicWriter) => Promise<void>): Promise<void> {
    const { info, partitions } = unit.topic;
    const { batchBytesMax } = this.#options.engine.topic(info.name)?.settings ?? info.settings;
    const writer = new TopicWriter(unit.owner, this.#options.clock, { name: info.name, partitions, batchBytesMax });
    try {
      await fill(writer);
      await writer.commit(progressAt(this.publication, unit.topic, upTo));
    } catch (error) {
      // Whether it is there is only known when the log is read again.
      this.#unit = undefined;
      await writer.abort();
      throw error;
    }
    this.#records += writer.records;
    this.#reached(unit, upTo, true);
  }

  #reached(unit: Unit, position: GroupPosition, isNoted: boolean): void {
    unit.position = position;
    unit.isNoted = isNoted;
    if (isNoted) unit.notedMs = this.#options.clock.monotonicMs();
    this.#position = position;
  }

  async #noteInTime(unit: Unit): Promise<void> {
    if (this.#options.clock.monotonicMs() - unit.notedMs >= noteEveryMs) await this.#note(unit);
  }

  async #note(unit: Unit): Promise<void> {
    if (unit.isNoted || unit.position === null) return;
    await this.#inTransaction(unit, unit.position, async () => {});
  }

  /** Until there may be something to do: nothing that was told meanwhile is missed. */
  async #woken(unit: Unit): Promise<void> {
    if (!this.#isWoken) await this.#changed(unit.isNoted ? null : noteEveryMs);
  }

  /** Until the group tells of something, or this time is over. */
  #changed(afterMs: number | null): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#closing.signal.aborted) return Promise.resolve();
    const timer: Timer | null = afterMs === null ? null : this.#options.clock.after(afterMs, resolve);
    this.#wake = resolve;
    return promise.finally(() => timer?.cancel());
  }
}

/** What passes when the view's state changes, which the group tells. */
function isOfView({ code }: MillraceError): boolean {
  return ["VIEW_BUILDING", "VIEW_FAILED", "VIEW_UNKNOWN", "PUBLISH_KEY_MISSING"].includes(code);
}
