/** The steps of the generated histories: each does one thing to the log and tells the model what came of it. */
import assert from "node:assert/strict";
import { MillraceError } from "../../src/base/errors.ts";
import { checkTopicSettings } from "../../src/engine/topic-settings.ts";
import { encodeBatch } from "../../src/records/batch-builder.ts";
import { attributeMask, batchField, stampTransaction, writeBatchChecksum } from "../../src/records/batch-header.ts";
import { writeInt64 } from "../../src/records/int64.ts";
import type { LogHistory } from "./log-history.ts";
import { type Act, type ModelBatch, type ModelPartition, type ModelTopic, nameOf, placeOf } from "./log-model.ts";
import { readChecked, type Scan } from "./log-reading.ts";
import {
  type Holder,
  type Lane,
  newHolder,
  newWireHolder,
  type Sender,
  type SentBatch,
  type WireAct,
  type WireHolder,
} from "./log-writers.ts";

const topicsMax = 4;
const partitionsMax = 3;
/** Producers that were not seen for a day are forgotten. */
const forgottenAfterMs = 24 * 3_600_000;
const diskErrors = new Set(["EIO", "ENOSPC", "PARTITION_FAILED", "LOG_CLOSED"]);

type Concerned = ModelTopic | Holder | WireHolder;

export class LogOperations {
  readonly #history: LogHistory;
  #holders: Holder[] = [newHolder("here-1"), newHolder("here-2"), newHolder("here-3")];
  readonly #wireHolders: readonly WireHolder[] = [newWireHolder("wire-1", 1), newWireHolder("wire-2", 2)];
  #senders: Sender[] = [];
  #topicNumber = 0;
  #keyNumber = 0;

  constructor(history: LogHistory) {
    this.#history = history;
  }

  async some(): Promise<void> {
    const kind = this.#below(72);
    if (kind < 10) return this.#append();
    if (kind < 18) return this.#sendIdempotent();
    if (kind < 20) return this.#sendAgain();
    if (kind < 26) return this.#goOnHere();
    if (kind < 30) return this.#endSomeHere();
    if (kind < 33) return this.#goOnByWire();
    if (kind < 36) return this.#endSomeByWire();
    if (kind < 37) return this.#below(2) === 0 ? this.#takeOver() : this.#takeOverByWire();
    if (kind < 46) return this.#read();
    if (kind < 48) return this.#findTime();
    if (kind < 49) return this.#deleteRecords();
    if (kind < 53) return this.#maintain();
    if (kind < 54) return this.#roll();
    if (kind < 55) return this.#checkpoint();
    if (kind < 56) return this.createTopic();
    if (kind < 57) return this.#deleteTopic();
    if (kind < 58) return this.#alterTopic();
    if (kind < 60) return this.#letTimePass();
    return kind < 67 ? this.#transactHere() : this.#transactByWire();
  }

  /** Nothing is on its way any more; what was open in this process was aborted. */
  restarted(): void {
    this.#holders = this.#holders.map(({ id }) => newHolder(id));
    for (const holder of this.#wireHolders) holder.busy = false;
    for (const sender of this.#senders) sender.busy = false;
  }

  /** The last stable offset is that of the transactions that are open, and of those of which nobody knows. */
  assertLastStable(partition: ModelPartition): void {
    const { lastStable, highWatermark, logStart } = this.#history.log.partition(partition.topic.name, partition.number);
    const known = [...this.#holders.flatMap(({ open }) => open ?? [])].map(({ act }) => ({ act, isCertain: true }));
    for (const { open, left } of this.#wireHolders) {
      if (open) known.push({ act: open.act, isCertain: !open.ending });
      for (const act of left) known.push({ act, isCertain: false });
    }
    let latest = highWatermark;
    const possible = new Set([highWatermark]);
    for (const { act, isCertain } of known) {
      for (const { offset } of act.batches.filter((batch) => batch.partition === partition && !batch.isGone)) {
        if (offset === undefined || offset >= highWatermark) continue;
        possible.add(Math.max(offset, logStart));
        // What was retired may be forgotten by a start.
        if (isCertain && !isRetired(partition, offset)) latest = Math.min(latest, offset);
      }
    }
    const where = `the last stable offset of ${placeOf(partition)}`;
    assert.ok(lastStable <= Math.max(latest, logStart), `${where} is ${lastStable}, and ${latest} is undecided`);
    assert.ok(possible.has(lastStable), `${where} is ${lastStable}, and not one of ${[...possible]}`);
  }

  async createTopic(): Promise<void> {
    if (this.#topics().length >= topicsMax) return;
    const cleanup = this.#pick(["delete", "delete", "compact", "compact,delete"] as const);
    const durability = this.#pick(["fsync", "fsync", "fsync", "os"] as const);
    const retentionMs = this.#below(4) === 0 ? 40_000 : null;
    const retentionBytes = this.#below(4) === 0 ? 3000 : null;
    const settings = checkTopicSettings({
      partitions: 1 + this.#below(partitionsMax),
      cleanup,
      durability,
      retentionMs,
      retentionBytes,
      segmentBytesMax: this.#pick([1200, 1800, 3000]),
      segmentMs: this.#pick([20_000, forgottenAfterMs]),
      batchBytesMax: 2500,
      tombstoneRetentionMs: this.#pick([0, 10_000, 100_000]),
      dirtyRatioMin: this.#pick([0, 0.01, 0.5]),
      compactionLagMinMs: this.#pick([0, 0, 5000]),
      compactionLagMaxMs: this.#pick([null, null, 30_000]),
    });
    const name = `topic-${this.#topicNumber++}`;
    const topic: ModelTopic = {
      name,
      partitions: [],
      state: "making",
      durability,
      cleanup,
      isCompacted: cleanup !== "delete",
      isRetired: cleanup !== "compact" && (retentionMs !== null || retentionBytes !== null),
      tombstoneRetentionMs: settings.tombstoneRetentionMs,
    };
    for (let i = 0; i < settings.partitions; i++) this.#history.model.addPartition(topic);
    this.#history.model.topics.push(topic);
    this.#trace(`create ${name} ${cleanup} ${durability} x${settings.partitions}`);
    const done = await this.#attempt(() => this.#history.log.createTopic(name, settings, false));
    if (done) topic.state = "there";
  }

  /** Sent, and not answered before the log went down: exactly one of each must come of it. */
  async sendUnansweredAgain(): Promise<void> {
    for (const sender of [...this.#senders]) {
      for (const [partition, lane] of sender.lanes) {
        if (partition.topic.state !== "there") {
          sender.lanes.delete(partition);
          continue;
        }
        const again = lane.unanswered.splice(0);
        const lost = lane.sent.some(({ batch }) => batch.isGone) || this.#now() - lane.usedMs >= forgottenAfterMs;
        // Its sequence in the log is not that which it would go on with.
        if (lost) this.#senders = this.#senders.filter((other) => other !== sender);
        for (const sent of again) {
          const { batch } = sent;
          // What a start did not find is sent anew, and may get any place.
          if (!batch.isDurable) {
            batch.isGone = lost;
            batch.offset = undefined;
            batch.act.fate = lost ? "never" : "unknown";
          }
          if (lost) continue;
          lane.unanswered.push(sent);
        }
        for (const sent of [...lane.unanswered]) {
          this.#trace(`again ${nameOf(sent.batch)}`);
          await this.#sendNow(lane, sent);
        }
      }
    }
  }

  /** What clients had open goes on, as they know it; what was not answered they send again. */
  async goOnByWire(): Promise<void> {
    for (const holder of this.#wireHolders) {
      const { id, version, identity, open } = holder;
      const known = this.#history.log.transactions.describe(id);
      if (known?.state !== "ongoing") holder.left = [];
      const sent = [...holder.sequences.values()].map(({ last }) => last);
      const isLost = [...sent, ...(open?.act.batches ?? [])].some(({ isGone, offset, partition }) => {
        return offset !== undefined && (isGone || isRetired(partition, offset));
      });
      if (!identity || isLost) {
        this.#leave(holder);
        continue;
      }
      holder.isStuck = false;
      if (!open) continue;
      if (open.unanswered?.batch.partition.topic.state !== "there") open.unanswered = undefined;
      if (version === 2) open.startedBeforeMs = Math.max(open.startedBeforeMs, this.#now());
      const isWritten = open.act.batches.some(
        ({ isDurable, partition }) => isDurable && partition.topic.state === "there",
      );
      if (!open.ending && (isWritten || (open.added.size > 0 && !open.unanswered))) {
        const { state, producerId, epoch } = known ?? {};
        assert.deepEqual(
          [state, producerId, epoch],
          ["ongoing", identity.producerId, identity.epoch],
          `${id} was open`,
        );
      }
      // Nothing of it is left where its topics are gone.
      if (!isWritten && !open.ending && !open.unanswered && known?.state !== "ongoing") this.#leave(holder);
      else if (open.ending) await this.#endAgainByWire(holder, open.ending);
      else if (open.unanswered) await this.#sendAgainByWire(holder, open, open.unanswered);
    }
  }

  async #endAgainByWire(holder: WireHolder, ending: NonNullable<WireAct["ending"]>): Promise<void> {
    this.#trace(`${holder.id} asks again to ${ending.outcome}`);
    const isThere = holder.open?.act.batches.some(({ partition }) => partition.topic.state === "there");
    if (ending.mustWork && isThere) return this.#endNowByWire(holder, ending.outcome);
    // It may have been aborted in its place, or there is nothing left of it.
    try {
      await this.#endNowByWire(holder, ending.outcome);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== "TRANSACTION_INVALID" && code !== "PRODUCER_FENCED") throw error;
      if (holder.open) holder.open.act.fate = holder.open.act.fate === "acknowledged" ? "acknowledged" : "never";
      this.#leave(holder);
    }
  }

  async #sendAgainByWire(holder: WireHolder, open: WireAct, { batch, sequence }: SentBatch): Promise<void> {
    open.unanswered = undefined;
    if (!batch.isDurable) {
      batch.isGone = false;
      batch.offset = undefined;
    }
    this.#trace(`again ${nameOf(batch)}`);
    const { partition } = batch;
    const isAdded = holder.version === 2 || open.added.has(partition);
    if (!isAdded && !(await this.#addByWire(holder, open, [partition]))) return;
    await this.#sendByWire(holder, open, { batch, sequence });
  }

  /** Whoever goes on with it has to take the id again. */
  #leave(holder: WireHolder): void {
    if (holder.open) holder.left.push(holder.open.act);
    holder.open = undefined;
    holder.identity = undefined;
    holder.isStuck = false;
    holder.sequences.clear();
  }

  async #append(): Promise<void> {
    const partition = this.#somePartition();
    if (!partition) return;
    const batch = this.#newBatch(this.#history.model.newAct("unknown"), partition);
    this.#trace(`append ${nameOf(batch)} ${batch.bytes.length} bytes`);
    await this.#appendNow(batch, batch.bytes);
  }

  /** Answers whether it is acknowledged. */
  async #appendNow(batch: ModelBatch, bytes: Buffer, ...holder: WireHolder[]): Promise<boolean> {
    const { partition, act, records } = batch;
    const { topic } = partition;
    const origin = { transactionVersion: holder[0]?.version ?? 2 };
    const placed = await this.#attempt(
      () => this.#history.log.append(topic.name, partition.number, Buffer.from(bytes), origin),
      topic,
      ...holder,
    );
    if (!placed) return false;
    assert.equal(placed.lastOffset - placed.baseOffset + 1, records.length);
    this.#history.model.settle(batch, placed.baseOffset);
    if (act.batches.length === 1 && act.fate === "unknown") act.fate = "acknowledged";
    if (topic.state === "there") {
      const { highWatermark } = this.#history.log.partition(topic.name, partition.number);
      assert.ok(highWatermark > placed.lastOffset, `${nameOf(batch)} was answered before it could be read`);
      partition.highWatermark = Math.max(partition.highWatermark, placed.lastOffset + 1);
    }
    return true;
  }

  async #sendIdempotent(): Promise<void> {
    let sender = this.#senders.filter(({ busy }) => !busy)[this.#below(3)];
    const partition = this.#somePartition();
    if (!partition) return;
    if (!sender) {
      if (this.#senders.length >= 3) return;
      const producerId = await this.#attempt(() => this.#history.log.transactions.newProducerId());
      if (producerId === undefined) return;
      sender = { producerId, lanes: new Map(), busy: false };
      const isNew = this.#senders.every((other) => other.producerId !== producerId);
      assert.ok(isNew, `producer id ${producerId} was given out twice`);
      this.#senders.push(sender);
    }
    const lane = this.#laneOf(sender, partition);
    if (!lane) {
      this.#senders = this.#senders.filter((other) => other !== sender);
      return;
    }
    sender.busy = true;
    if (lane.unanswered.length === 0) {
      // One or two on their way at the same time.
      const count = 1 + this.#below(2);
      const sending = Array.from({ length: count }, () => {
        const batch = this.#newBatch(this.#history.model.newAct("unknown"), partition);
        const sent = { batch, sequence: lane.nextSequence };
        lane.nextSequence += batch.records.length;
        stampProducer(batch.bytes, sender.producerId, sent.sequence);
        lane.unanswered.push(sent);
        this.#trace(`send ${nameOf(batch)} producer ${sender.producerId} sequence ${sent.sequence}`);
        return this.#sendNow(lane, sent);
      });
      await Promise.all(sending);
    }
    sender.busy = false;
  }

  /** Undefined for a producer that may have been forgotten: such a one begins anew. */
  #laneOf(sender: Sender, partition: ModelPartition): Lane | undefined {
    const known = sender.lanes.get(partition);
    if (known) return this.#now() - known.usedMs < forgottenAfterMs ? known : undefined;
    const lane = { nextSequence: 0, sent: [], unanswered: [], usedMs: this.#now() };
    sender.lanes.set(partition, lane);
    return lane;
  }

  async #sendNow(lane: Lane, sent: Lane["sent"][number]): Promise<void> {
    const nowMs = this.#now();
    const done = await this.#appendNow(sent.batch, sent.batch.bytes);
    if (!done) return;
    lane.unanswered.splice(lane.unanswered.indexOf(sent), 1);
    lane.sent.push(sent);
    lane.usedMs = nowMs;
    if (lane.sent.length > 5) lane.sent.shift();
  }

  /** A batch that was answered is sent again, or one that does not follow. */
  async #sendAgain(): Promise<void> {
    const sender = this.#pick(this.#senders.filter(({ busy }) => !busy));
    if (!sender) return;
    const [partition, lane] = this.#pick([...sender.lanes]) ?? [];
    if (!partition || !lane || partition.topic.state !== "there" || lane.unanswered.length > 0) return;
    const { batch, sequence } = this.#pick(lane.sent) ?? {};
    const isFresh = this.#now() - lane.usedMs < forgottenAfterMs;
    if (!batch || sequence === undefined || !isFresh || (batch.offset as number) < partition.logStart) return;
    sender.busy = true;
    if (this.#below(3) === 0) await this.#sendOutOfOrder(sender, lane, partition);
    else await this.#sendDuplicate(batch, lane.sent.at(-1)?.batch === batch);
    sender.busy = false;
  }

  async #sendDuplicate(batch: ModelBatch, isLast: boolean): Promise<void> {
    const { partition } = batch;
    this.#trace(`duplicate ${nameOf(batch)}`);
    const isRetired = () => (batch.offset as number) < partition.logStartMax || partition.topic.isRetired;
    try {
      const placed = await this.#attempt(
        () => this.#history.log.append(partition.topic.name, partition.number, Buffer.from(batch.bytes)),
        partition.topic,
      );
      if (placed) assert.equal(placed.baseOffset, batch.offset, `${nameOf(batch)} was appended twice`);
    } catch (error) {
      // Compaction keeps the newest batch of a producer only.
      const mayBeUnknown = isRetired() || (partition.topic.isCompacted && !isLast);
      if (!mayBeUnknown || !MillraceError.is(error, "PRODUCER_SEQUENCE_INVALID")) throw error;
    }
  }

  async #sendOutOfOrder(sender: Sender, lane: Lane, partition: ModelPartition): Promise<void> {
    const batch = this.#newBatch(this.#history.model.newAct("never"), partition);
    stampProducer(batch.bytes, sender.producerId, lane.nextSequence + 1000);
    this.#trace(`out of order ${nameOf(batch)}`);
    await this.#assertRefused(
      () => this.#history.log.append(partition.topic.name, partition.number, batch.bytes),
      ["PRODUCER_SEQUENCE_INVALID"],
      partition.topic,
    );
  }

  /** A whole transaction, or the rest of one. */
  async #transactHere(): Promise<void> {
    const holder = this.#pick(this.#holders.filter(({ busy }) => !busy));
    if (!holder) return;
    holder.busy = true;
    for (let appends = 2 + this.#below(3); appends > 0; appends--) await this.#appendHere(holder);
    await this.#endHere(holder);
    holder.busy = false;
  }

  async #transactByWire(): Promise<void> {
    const holder = this.#freeWireHolder();
    if (!holder) return;
    holder.busy = true;
    for (let appends = 2 + this.#below(3); appends > 0; appends--) await this.#appendByWire(holder);
    await this.#endByWire(holder);
    holder.busy = false;
  }

  /** Begins a transaction in this process, or appends to it. */
  async #goOnHere(): Promise<void> {
    const holder = this.#pick(this.#holders.filter(({ busy }) => !busy));
    if (!holder) return;
    holder.busy = true;
    await this.#appendHere(holder);
    holder.busy = false;
  }

  async #appendHere(holder: Holder): Promise<void> {
    if (!holder.producer) {
      holder.timeoutMs = this.#pick([null, null, 15_000]);
      const { id, timeoutMs } = holder;
      this.#trace(`init ${id}`);
      holder.producer = await this.#attempt(() => this.#history.log.initProducer(id, { timeoutMs }));
      return;
    }
    if (!holder.open) {
      const startedMs = this.#now();
      const transaction = await this.#attempt(async () => holder.producer?.begin());
      if (!transaction) {
        holder.producer = undefined;
        return;
      }
      const act = this.#history.model.newAct("never");
      holder.open = { transaction, act, startedMs, startedBeforeMs: this.#now() };
    }
    const { transaction, act } = holder.open;
    const partition = this.#somePartition();
    if (!partition) return;
    const batch = this.#newBatch(act, partition);
    this.#trace(`${holder.id} appends ${nameOf(batch)} ${batch.bytes.length} bytes`);
    const { topic, number } = partition;
    const placed = await this.#attempt(
      () => transaction.append({ topic: topic.name, partition: number, batch: Buffer.from(batch.bytes) }),
      topic,
      holder,
    );
    if (placed) batch.offset = placed.baseOffset;
    // Whether it is in the log nobody knows.
    else if (topic.state === "there") holder.mustAbort = true;
  }

  async #endSomeHere(): Promise<void> {
    const holder = this.#pick(this.#holders.filter(({ busy, open }) => !busy && open));
    if (!holder) return;
    holder.busy = true;
    await this.#endHere(holder);
    holder.busy = false;
  }

  async #endHere(holder: Holder): Promise<void> {
    if (!holder.open) return;
    const { transaction, act } = holder.open;
    const aborts = this.#below(3) === 0 || holder.mustAbort;
    holder.mustAbort = false;
    this.#trace(`${holder.id} ${aborts ? "aborts" : "commits"} act ${act.number}`);
    if (!aborts && act.batches.length > 0) act.fate = "unknown";
    const batches = [...act.batches];
    const topics = batches.map(({ partition }) => partition.topic);
    const done = await this.#attempt(
      async () => {
        await (aborts ? transaction.abort() : transaction.commit());
        return true;
      },
      ...topics,
      holder,
    );
    holder.open = undefined;
    if (!done) holder.producer = undefined;
    else if (!aborts) this.#committed(act);
  }

  #committed(act: Act): void {
    act.fate = act.batches.length > 0 ? "acknowledged" : "never";
    for (const batch of act.batches) {
      const { partition, offset } = batch;
      if (partition.topic.state !== "there" || batch.isGone) continue;
      this.#history.model.settle(batch, offset as number);
      const end = (offset as number) + batch.records.length;
      const { highWatermark, failure } = this.#history.log.partition(partition.topic.name, partition.number);
      // What the decision relied on was journaled also when the partition failed meanwhile.
      if (failure) continue;
      assert.ok(highWatermark >= end, `act ${act.number} was committed before it could be read`);
      partition.highWatermark = Math.max(partition.highWatermark, end);
    }
  }

  #freeWireHolder(isOpen = false): WireHolder | undefined {
    return this.#pick(this.#wireHolders.filter(({ busy, isStuck, open }) => !busy && !isStuck && (!isOpen || open)));
  }

  async #goOnByWire(): Promise<void> {
    const holder = this.#freeWireHolder();
    if (!holder) return;
    holder.busy = true;
    await this.#appendByWire(holder);
    holder.busy = false;
  }

  async #appendByWire(holder: WireHolder): Promise<void> {
    if (holder.isStuck) return;
    if (!holder.identity) return await this.#initByWire(holder);
    const partition = this.#somePartition();
    if (!partition) return;
    const { usedMs = this.#now() } = holder.sequences.get(partition) ?? {};
    if (this.#now() - usedMs >= forgottenAfterMs) return await this.#initByWire(holder);
    if (holder.version === 1 && !holder.open?.asked.has(partition) && this.#below(6) === 0) {
      return await this.#appendOutside(holder, partition);
    }
    const startedMs = this.#now();
    holder.open ??= {
      act: this.#history.model.newAct("never"),
      startedMs,
      startedBeforeMs: Number.POSITIVE_INFINITY,
      added: new Set(),
      asked: new Set(),
      unanswered: undefined,
      ending: undefined,
    };
    const { open } = holder;
    if (holder.version === 1 && !open.added.has(partition)) {
      const other = this.#below(2) === 0 ? this.#pick(partition.topic.partitions) : undefined;
      if (!(await this.#addByWire(holder, open, other ? [partition, other] : [partition]))) return;
    }
    const batch = this.#newBatch(open.act, partition);
    const sequence = holder.sequences.get(partition)?.nextSequence ?? 0;
    stampTransaction(batch.bytes, holder.identity.producerId, holder.identity.epoch, sequence);
    await this.#sendByWire(holder, open, { batch, sequence });
  }

  async #initByWire(holder: WireHolder, expected?: WireHolder["identity"]): Promise<void> {
    holder.timeoutMs = this.#pick([null, null, 15_000]);
    const { id, timeoutMs } = holder;
    this.#trace(`init ${id}`);
    if (holder.open) holder.left.push(holder.open.act);
    holder.open = undefined;
    holder.sequences.clear();
    holder.identity = await this.#attempt(() => this.#history.log.transactions.initByWire(id, timeoutMs, expected));
    if (holder.identity) holder.left = [];
  }

  /** Under version 1 it belongs to no transaction. */
  async #appendOutside({ identity, id, sequences }: WireHolder, partition: ModelPartition): Promise<void> {
    if (!identity) return;
    const batch = this.#newBatch(this.#history.model.newAct("never"), partition);
    stampTransaction(batch.bytes, identity.producerId, identity.epoch, sequences.get(partition)?.nextSequence ?? 0);
    this.#trace(`${id} appends ${nameOf(batch)} without adding ${placeOf(partition)}`);
    const { topic, number } = partition;
    const append = () => this.#history.log.append(topic.name, number, batch.bytes, { transactionVersion: 1 });
    await this.#assertRefused(
      append,
      ["TRANSACTION_PARTITION_MISSING", ...(this.#history.isFaulty ? ["PRODUCER_FENCED"] : [])],
      topic,
      ...this.#wireHolders.filter((holder) => holder.id === id),
    );
  }

  /** All of one topic. Answers whether it is acknowledged. */
  async #addByWire(holder: WireHolder, open: WireAct, partitions: readonly ModelPartition[]): Promise<boolean> {
    const { id, identity } = holder;
    const { log } = this.#history;
    const { topic } = partitions[0] as ModelPartition;
    this.#trace(`${id} adds ${partitions.map(placeOf)}`);
    for (const partition of partitions) open.asked.add(partition);
    const done = await this.#attempt(
      async () => {
        const into = partitions.map(({ number }) => log.partition(topic.name, number));
        await log.transactions.addPartitions(id, identity as NonNullable<typeof identity>, into);
        return true;
      },
      topic,
      holder,
    );
    if (!done) {
      this.#notAnswered(holder, partitions[0] as ModelPartition);
      return false;
    }
    for (const partition of partitions) open.added.add(partition);
    open.startedBeforeMs = Math.min(open.startedBeforeMs, this.#now());
    return true;
  }

  async #sendByWire(holder: WireHolder, open: WireAct, sent: SentBatch): Promise<void> {
    const { batch, sequence } = sent;
    const { partition } = batch;
    const { producerId, epoch } = holder.identity as NonNullable<WireHolder["identity"]>;
    this.#trace(`${holder.id} (${producerId}:${epoch}) appends ${nameOf(batch)} ${batch.bytes.length} bytes`);
    const usedMs = this.#now();
    if (await this.#appendNow(batch, batch.bytes, holder)) {
      holder.sequences.set(partition, { nextSequence: sequence + batch.records.length, last: batch, usedMs });
      open.startedBeforeMs = Math.min(open.startedBeforeMs, this.#now());
      return;
    }
    open.unanswered = sent;
    this.#notAnswered(holder, partition);
  }

  /** The epoch has ended, or nobody knows whether it was done: then the same is asked for again after a start. */
  #notAnswered(holder: WireHolder, partition: ModelPartition): void {
    if (this.#isLate(holder)) this.#leave(holder);
    else if (partition.topic.state === "there") holder.isStuck = true;
    else if (holder.open) holder.open.unanswered = undefined;
  }

  async #endSomeByWire(): Promise<void> {
    const holder = this.#freeWireHolder(true);
    if (!holder) return;
    holder.busy = true;
    await this.#endByWire(holder);
    holder.busy = false;
  }

  async #endByWire(holder: WireHolder): Promise<void> {
    const { open, isStuck } = holder;
    if (!open || !holder.identity || isStuck) return;
    if (open.act.batches.length === 0 && open.added.size === 0) return;
    await this.#endNowByWire(holder, this.#below(3) === 0 ? "abort" : "commit");
  }

  async #endNowByWire(holder: WireHolder, outcome: "commit" | "abort"): Promise<void> {
    const { id, identity, version, open } = holder as WireHolder & {
      identity: NonNullable<WireHolder["identity"]>;
      open: WireAct;
    };
    const { act } = open;
    this.#trace(`${id} ends act ${act.number} ${outcome}`);
    if (outcome === "commit" && act.batches.length > 0) act.fate = "unknown";
    const topics = act.batches.map(({ partition }) => partition.topic);
    const end = async () => this.#history.log.transactions.endByWire(id, identity, outcome, version);
    const next = await this.#attempt(end, ...topics, holder);
    if (!next) {
      // Without a topic it was aborted; else it is asked for again.
      if (this.#history.isFaulty && !this.#isLate(holder) && topics.every(({ state }) => state === "there")) {
        open.ending = { outcome, mustWork: this.#history.disk.isOff };
        holder.isStuck = true;
      } else this.#leave(holder);
      return;
    }
    assert.equal(next.producerId, identity.producerId);
    // Where the disk fails the epoch may end with an abort.
    const mayEnd = version === 2 || (this.#history.isFaulty && outcome === "abort");
    assert.ok(next.epoch === identity.epoch + 1 ? mayEnd : version === 1 && next.epoch === identity.epoch);
    holder.open = undefined;
    if (outcome === "commit") this.#committed(act);
    holder.identity = next;
    if (next.epoch !== identity.epoch) holder.sequences.clear();
    if (this.#below(3) > 0) return;
    // Who asks again is answered the same.
    if (version === 1 && next.epoch !== identity.epoch) return;
    const again = await this.#attempt(end);
    if (again) assert.deepEqual([again.producerId, again.epoch], [next.producerId, next.epoch]);
  }

  /** A client says which producer it has, and gets its next epoch. */
  async #takeOverByWire(): Promise<void> {
    const holder = this.#freeWireHolder();
    if (!holder) return;
    holder.busy = true;
    const { identity, id } = holder;
    await this.#initByWire(holder, identity);
    const next = holder.identity;
    if (next && identity) {
      assert.deepEqual([next.producerId, next.epoch], [identity.producerId, identity.epoch + 1]);
      const end = async () => this.#history.log.transactions.endByWire(id, identity, "commit", 1);
      await this.#assertRefused(end, this.#fenced);
    }
    holder.busy = false;
  }

  /** Somebody else takes an id; whoever held it is fenced. */
  async #takeOver(): Promise<void> {
    const holder = this.#pick(this.#holders.filter(({ busy }) => !busy));
    if (!holder) return;
    holder.busy = true;
    const { producer, open } = holder;
    this.#trace(`take over ${holder.id}`);
    const next = await this.#attempt(() => this.#history.log.initProducer(holder.id));
    holder.open = undefined;
    holder.mustAbort = false;
    holder.timeoutMs = null;
    holder.producer = next;
    if (next && producer) await this.#assertRefused(async () => producer.begin(), ["PRODUCER_FENCED"]);
    if (next && open) await this.#assertRefused(() => open.transaction.commit(), ["PRODUCER_FENCED"]);
    holder.busy = false;
  }

  async #read(): Promise<void> {
    const partition = this.#somePartition();
    if (!partition) return;
    const { topic, number } = partition;
    const from = this.#history.log.partition(topic.name, number);
    if (from.failure) return;
    const committed = this.#below(2) === 0;
    const { logStart, highWatermark } = from;
    let offset = logStart + this.#below(highWatermark - logStart + 1);
    // A reader that goes on for a while meets what others do meanwhile.
    for (let reads = 1 + this.#below(4); reads > 0; reads--) {
      const reading = { offset, committed, bytesMax: 1 + this.#below(3000) };
      const before = { start: from.logStart };
      const next = await this.#attempt(async () => {
        try {
          return await readChecked(this.#history.log, this.#history.model, partition, reading, () => this.#now());
        } catch (error) {
          if (!MillraceError.is(error, "OFFSET_OUT_OF_RANGE")) throw error;
          assert.ok(offset < from.logStart, `offset ${offset} of ${placeOf(partition)} is out of range`);
          assert.ok(before.start < from.logStart || before.start > offset);
          return from.logStart;
        }
      }, topic);
      if (next === undefined || next === offset) return;
      offset = next;
    }
  }

  /** Against a scan; where records may be compacted the two need not see the same. */
  async #findTime(): Promise<void> {
    const partition = this.#somePartition();
    if (!partition) return;
    const { topic, number } = partition;
    const from = this.#history.log.partition(topic.name, number);
    if (from.failure) return;
    const time = this.#now() - this.#below(60_000);
    const { highWatermark, logStart } = from;
    await this.#attempt(async () => {
      const found = await from.offsetForTime(time);
      const timestamps = await this.#timestampsOf(partition);
      if (!timestamps) return;
      if (topic.isCompacted || from.logStart !== logStart) return;
      const expected = timestamps.find(
        ({ offset, timestamp }) => offset >= logStart && offset < highWatermark && timestamp >= time,
      );
      assert.equal(found, expected?.offset ?? highWatermark, `the offset of ${time} in ${placeOf(partition)}`);
    }, topic);
  }

  /** Undefined when the log's start has moved meanwhile. */
  async #timestampsOf(partition: ModelPartition): Promise<Scan["timestamps"] | undefined> {
    try {
      return (await this.#history.scan(partition, false)).timestamps;
    } catch (error) {
      if (!MillraceError.is(error, "OFFSET_OUT_OF_RANGE")) throw error;
      return undefined;
    }
  }

  async #deleteRecords(): Promise<void> {
    const partition = this.#somePartition();
    if (!partition) return;
    const { topic, number } = partition;
    const from = this.#history.log.partition(topic.name, number);
    if (from.failure) return;
    const { logStart, highWatermark } = from;
    const offset = this.#below(3) === 0 ? highWatermark : logStart + this.#below(highWatermark - logStart + 1);
    this.#trace(`delete records of ${placeOf(partition)} below ${offset}`);
    partition.logStartMax = Math.max(partition.logStartMax, offset);
    const done = await this.#attempt(async () => {
      await from.deleteRecords(offset);
      return true;
    }, topic);
    if (!done) return;
    partition.logStart = Math.max(partition.logStart, offset);
    partition.logStartMin = Math.max(partition.logStartMin, offset);
  }

  async #maintain(): Promise<void> {
    this.#trace("maintain");
    const late = new Set(this.#late());
    const nowMs = this.#now();
    for (const holder of late) holder.busy = true;
    const done = await this.#attempt(async () => {
      await this.#history.log.maintain();
      return this.#history.log.transactions;
    });
    for (const holder of late) holder.busy = false;
    // Time may have passed meanwhile, before the log looked or after it.
    for (const holder of new Set([...late, ...this.#late()])) {
      if (!done || this.#wasFenced(holder)) await this.#assertTimedOut(holder);
      else {
        const { startedBeforeMs } = holder.open as { startedBeforeMs: number };
        const isLate = late.has(holder) && nowMs - startedBeforeMs > (holder.timeoutMs as number);
        assert.ok(!isLate || holder.open?.act.batches.length === 0, `a transaction of ${holder.id} was not timed out`);
      }
    }
  }

  /** When the new epoch could not be recorded the old one stays, without its transaction. */
  get #fenced(): readonly string[] {
    return this.#history.isFaulty ? ["PRODUCER_FENCED", "TRANSACTION_INVALID"] : ["PRODUCER_FENCED"];
  }

  /** Whose transaction has been open for longer than it may be. */
  #late(): (Holder | WireHolder)[] {
    const free = [...this.#holders, ...this.#wireHolders.filter(({ isStuck }) => !isStuck)];
    return free.filter((holder) => !holder.busy && this.#isLate(holder));
  }

  #isLate({ open, timeoutMs }: Holder | WireHolder): boolean {
    return open !== undefined && timeoutMs !== null && this.#now() - open.startedMs > timeoutMs;
  }

  #wasFenced(holder: Holder | WireHolder): boolean {
    const { epoch } = ("producer" in holder ? holder.producer : holder.identity) ?? {};
    return this.#history.log.transactions.describe(holder.id)?.epoch !== epoch;
  }

  async #assertTimedOut(holder: Holder | WireHolder): Promise<void> {
    const { open } = holder;
    if ("producer" in holder) {
      const { transaction } = open as { transaction: { commit(): Promise<void> } };
      holder.producer = undefined;
      holder.open = undefined;
      holder.mustAbort = false;
      await this.#assertRefused(() => transaction.commit(), this.#fenced);
    } else if (holder.identity) {
      const { identity, version } = holder;
      const touched = holder.open && (holder.open.act.batches.length > 0 || holder.open.added.size > 0);
      this.#leave(holder);
      // Without a batch the log knows of no transaction.
      if (!touched) return;
      const end = async () => this.#history.log.transactions.endByWire(holder.id, identity, "commit", version);
      await this.#assertRefused(end, this.#fenced);
    }
  }

  async #roll(): Promise<void> {
    const partition = this.#somePartition();
    if (!partition) return;
    this.#trace(`roll ${placeOf(partition)}`);
    const { topic, number } = partition;
    await this.#attempt(async () => this.#history.log.partition(topic.name, number).roll(), topic);
  }

  async #checkpoint(): Promise<void> {
    this.#trace("checkpoint");
    await this.#attempt(() => this.#history.log.checkpoint());
  }

  async #deleteTopic(): Promise<void> {
    const topic = this.#pick(this.#topics());
    if (!topic || this.#topics().length < 3) return;
    this.#trace(`delete ${topic.name}`);
    topic.state = "doomed";
    const done = await this.#attempt(async () => {
      await this.#history.log.deleteTopic(topic.name);
      return true;
    });
    if (done) topic.state = "gone";
  }

  async #alterTopic(): Promise<void> {
    const topic = this.#pick(this.#topics());
    if (!topic) return;
    const { settings, change } = this.#someChange(topic);
    this.#trace(`alter ${topic.name} ${JSON.stringify(settings)}`);
    change();
    const altered = await this.#attempt(
      () =>
        this.#history.log.alterTopic(topic.name, (known) => {
          const partitions = Math.max(known.partitions, settings.partitions ?? 0);
          return checkTopicSettings({ ...known, ...settings, partitions });
        }),
      topic,
    );
    while (topic.partitions.length < (altered?.settings.partitions ?? 0)) this.#history.model.addPartition(topic);
  }

  #someChange(topic: ModelTopic): { settings: Parameters<typeof checkTopicSettings>[0]; change: () => void } {
    const kind = this.#below(5);
    if (kind === 0) {
      const partitions = Math.max(topic.partitions.length, 1 + this.#below(partitionsMax + 1));
      return { settings: { partitions }, change: () => undefined };
    }
    const retires = () => {
      topic.isRetired ||= topic.cleanup !== "compact";
    };
    if (kind === 1) return { settings: { retentionMs: this.#pick([null, 20_000]) }, change: retires };
    if (kind === 2) return { settings: { retentionBytes: this.#pick([null, 1500]) }, change: retires };
    if (kind === 3) {
      const tombstoneRetentionMs = this.#pick([0, 50_000]);
      const change = () => {
        topic.tombstoneRetentionMs = Math.min(topic.tombstoneRetentionMs, tombstoneRetentionMs);
      };
      return { settings: { tombstoneRetentionMs, dirtyRatioMin: 0 }, change };
    }
    return { settings: { segmentBytesMax: this.#pick([1100, 2000]), segmentMs: 10_000 }, change: () => undefined };
  }

  async #letTimePass(): Promise<void> {
    const byMs = this.#pick([100, 3000, 3000, 12_000, 12_000, 50_000, forgottenAfterMs]);
    this.#trace(`${byMs} ms pass`);
    this.#history.clock.jump(byMs);
  }

  #newBatch(act: Act, partition: ModelPartition): ModelBatch {
    const { model } = this.#history;
    const isLarge = this.#below(8) === 0;
    const count = 1 + this.#below(4);
    const needsKeys = partition.topic.cleanup !== "delete";
    const batch: ModelBatch = {
      act,
      partition,
      records: [],
      bytes: Buffer.alloc(0),
      sentMs: this.#now(),
      offset: undefined,
      isDurable: false,
      isGone: false,
    };
    for (let delta = 0; delta < count; delta++) {
      const id = model.records.length;
      const key = needsKeys || this.#below(2) === 0 ? this.#someKey() : null;
      const filler = ".".repeat(this.#below(isLarge ? 500 : 80));
      const value = key !== null && this.#below(5) === 0 ? null : `${id}${filler}`;
      const record = { id, key, value, timestamp: this.#now() - this.#below(2000), batch, delta };
      model.records.push(record);
      batch.records.push(record);
      if (key !== null) {
        const same = partition.keys.get(key);
        if (same) same.push(record);
        else partition.keys.set(key, [record]);
      }
    }
    const records = batch.records.map(({ id, key, value, timestamp }) => ({
      key: key === null ? null : Buffer.from(key),
      value: value === null ? null : Buffer.from(value),
      timestamp,
      headers: [{ key: "i", value: Buffer.from([id >>> 24, id >>> 16, id >>> 8, id]) }],
    }));
    Object.assign(batch, { bytes: encodeBatch(records, 0) });
    act.batches.push(batch);
    partition.batches.push(batch);
    return batch;
  }

  #someKey(): string {
    return this.#below(6) === 0 ? `only ${this.#keyNumber++}` : `key ${this.#below(8)}`;
  }

  /** Undefined when the disk, or the end of a topic that is being deleted, explains the failure. */
  async #attempt<T>(act: () => Promise<T>, ...concerned: readonly Concerned[]): Promise<T | undefined> {
    try {
      return await act();
    } catch (error) {
      if (!this.#isExplained(error, concerned)) throw error;
      this.#trace(`   failed: ${(error as Error).message}`);
      return undefined;
    }
  }

  #isExplained(error: unknown, concerned: readonly Concerned[]): boolean {
    const { code } = error as { code?: string };
    if (this.#history.isFaulty && code !== undefined && diskErrors.has(code)) return true;
    return concerned.some((each) => {
      if ("state" in each) return code === "TOPIC_UNKNOWN" && (each.state === "doomed" || each.state === "gone");
      return code === "PRODUCER_FENCED" && this.#isLate(each);
    });
  }

  async #assertRefused(act: () => Promise<unknown>, codes: readonly string[], ...topics: Concerned[]): Promise<void> {
    try {
      await act();
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== undefined && codes.includes(code)) return;
      if (this.#isExplained(error, topics)) return;
      throw error;
    }
    assert.fail(`what should have been refused with ${codes.join(" or ")} was not`);
  }

  #topics(): ModelTopic[] {
    return this.#history.topics();
  }

  #somePartition(): ModelPartition | undefined {
    const topic = this.#pick(this.#topics());
    return topic && this.#pick(topic.partitions);
  }

  #now(): number {
    return this.#history.clock.now();
  }

  #below(limit: number): number {
    return this.#history.random.below(limit);
  }

  /** Undefined of nothing. */
  #pick<const T extends readonly unknown[]>(from: T): T[number] {
    return from[this.#below(from.length)];
  }

  #trace(line: string): void {
    this.#history.trace(line);
  }
}

/** Makes it a batch of an idempotent producer, outside of transactions. */
function stampProducer(bytes: Buffer, producerId: number, sequence: number): void {
  bytes.writeInt16BE(bytes.readInt16BE(batchField.attributes) & ~attributeMask.transactional, batchField.attributes);
  writeInt64(bytes, batchField.producerId, producerId);
  bytes.writeInt16BE(0, batchField.producerEpoch);
  bytes.writeInt32BE(sequence, batchField.baseSequence);
  writeBatchChecksum(bytes);
}

/** It may be gone, and with it what a start knows of its producer. */
function isRetired({ topic, logStart, logStartMax }: ModelPartition, offset: number): boolean {
  return offset < Math.max(logStart, logStartMax) || topic.isRetired;
}
