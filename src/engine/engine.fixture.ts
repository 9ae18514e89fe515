/** What the parts of the engine's suite share: what a variant hands in, and the shortest ways to write and read. */
import assert from "node:assert/strict";
import type { ErrorCode } from "../base/error-codes.ts";
import { MillraceError } from "../base/errors.ts";
import type { VirtualClock } from "../base/virtual-clock.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { attributeMask, batchField, writeBatchChecksum } from "../records/batch-header.ts";
import { writeInt64 } from "../records/int64.ts";
import type { Engine, PartitionOffsets, ReadRequest, TransactionalProducer } from "./engine.ts";
import { decodeCommitted, nextOffsetOf } from "./records.ts";

export interface EngineFixture {
  readonly engine: Engine;
  /** The engine's. It stands at `nowMs` when the engine is opened. */
  readonly clock: VirtualClock;
  reopen(): Promise<Engine>;
  /** Closes what is open, and removes everything. */
  dispose(): Promise<void>;
}

/**
 * What a test asks of an engine beyond the port, which a variant may say that it has not:
 * - `virtual time`: all that the engine does in time follows the fixture's clock.
 * - `exact bytes`: files are as small as settings say, and what is retired gives its bytes back at once.
 * - `plain batches`: a batch without a producer is kept without one.
 * - `every epoch`: an id that is taken has the next epoch, and none is passed over.
 * - `late repetitions`: who takes an id by an epoch that is over ends nothing of the one that has it.
 * - `late answers`: a client's batch that is sent again behind the end of its transaction is answered as then.
 * - `first sequences`: a producer begins with the sequence 0 in a partition that is empty.
 * - `batches without a sequence`: they are taken in transactions where only this process writes.
 * - `ids of its own`: transactional ids of code in this process are not those of clients.
 * - `latest of what is kept`: a record that was deleted or compacted away is not the latest any more.
 */
export type EngineTrait =
  | "virtual time"
  | "exact bytes"
  | "plain batches"
  | "every epoch"
  | "late repetitions"
  | "late answers"
  | "first sequences"
  | "batches without a sequence"
  | "ids of its own"
  | "latest of what is kept";

export type EngineTest = (
  title: string,
  body: (engine: Engine, fixture: EngineFixture) => Promise<void>,
  needs?: readonly EngineTrait[],
) => void;

export const nowMs = Date.UTC(2026, 0, 1);

export function batchOf(...values: string[]): Buffer {
  return encodeBatch(
    values.map((value) => ({ key: null, value: Buffer.from(value) })),
    nowMs,
  );
}

/** `key=value`; a key alone is a tombstone. */
export function keyedBatch(...pairs: string[]): Buffer {
  const records = pairs.map((pair) => {
    const [key = "", value] = pair.split("=");
    return { key: Buffer.from(key), value: value === undefined ? null : Buffer.from(value) };
  });
  return encodeBatch(records, nowMs);
}

export interface BatchOrigin {
  readonly producerId: number;
  readonly epoch: number;
  readonly sequence: number;
  readonly transactional?: boolean;
}

/** A batch as a protocol's client makes it: it names its producer, and counts its records. */
export function producerBatch(origin: BatchOrigin, ...values: string[]): Buffer {
  return ofProducer(origin, batchOf(...values));
}

export function ofProducer({ producerId, epoch, sequence, transactional = false }: BatchOrigin, batch: Buffer): Buffer {
  if (transactional) {
    const attributes = batch.readInt16BE(batchField.attributes) | attributeMask.transactional;
    batch.writeInt16BE(attributes, batchField.attributes);
  }
  writeInt64(batch, batchField.producerId, producerId);
  batch.writeInt16BE(epoch, batchField.producerEpoch);
  batch.writeInt32BE(sequence, batchField.baseSequence);
  writeBatchChecksum(batch);
  return batch;
}

export function request(topic: string, more: Partial<ReadRequest> = {}): ReadRequest {
  return { topic, partition: 0, offset: 0, isolation: "read_committed", bytesMax: 1024 * 1024, ...more };
}

export async function valuesOf(engine: Engine, topic: string, more: Partial<ReadRequest> = {}): Promise<string[]> {
  const values: string[] = [];
  for (let offset = more.offset ?? (await engine.offsets(topic, more.partition ?? 0)).logStart; ; ) {
    const result = await engine.read(request(topic, { ...more, offset }));
    if (result.batches.length === 0) return values;
    for (const { value } of decodeCommitted(result, offset)) values.push(String(value));
    offset = nextOffsetOf(result, offset);
  }
}

/** All that committed reads answer, markers included. */
export async function batchesOf(engine: Engine, topic: string): Promise<Buffer[]> {
  const batches: Buffer[] = [];
  for (let offset = 0; ; ) {
    const result = await engine.read(request(topic, { offset }));
    if (result.batches.length === 0) return batches;
    batches.push(...result.batches);
    offset = nextOffsetOf(result, offset);
  }
}

/** One of these. */
export function withCode(...codes: readonly ErrorCode[]) {
  return (error: unknown) =>
    codes.some((code) => MillraceError.is(error, code)) || assert.fail(`expected ${codes.join(" or ")}, not ${error}`);
}

export async function committed(producer: TransactionalProducer, topic: string, ...values: string[]): Promise<void> {
  const transaction = producer.begin();
  for (const value of values) await transaction.append({ topic, partition: 0, batch: batchOf(value) });
  await transaction.commit();
}

/** The engine, and then the same log opened anew. */
export async function* alsoReopened(engine: Engine, reopen: () => Promise<Engine>): AsyncGenerator<Engine> {
  yield engine;
  yield await reopen();
}

/** Offsets, epoch and producer apart they are the same bytes. */
export function assertSameRecords(found: Buffer | undefined, given: Buffer | undefined): void {
  assert.ok(found && given);
  const attributes = (batch: Buffer) => batch.subarray(batchField.attributes, batchField.producerId);
  assert.deepEqual(attributes(found), attributes(given));
  assert.deepEqual(found.subarray(batchField.recordCount), given.subarray(batchField.recordCount));
}

/** Nothing of a transaction is left open in the partition. */
export function assertSettled({ lastStable, highWatermark }: PartitionOffsets): void {
  assert.equal(lastStable, highWatermark);
}

const lookEveryMs = 60_000;
const looksMax = 500;
const turnsPerLook = 10;

/** Lets time pass until something is so; it goes on by minutes, and by eight hours at most. A real disk needs time of its own. */
export async function eventually(clock: VirtualClock, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let looks = 0; looks < looksMax; looks++) {
    for (let turns = 0; turns < turnsPerLook; turns++) {
      if (await isSo()) return;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await new Promise((resolve) => setTimeout(resolve, looks < 100 ? 1 : 10));
    await clock.advance(lookEveryMs);
  }
  assert.fail("it did not come about");
}
