/** What every engine must do: idempotent batches, which their producers number. */
import assert from "node:assert/strict";
import {
  alsoReopened,
  type BatchOrigin,
  batchOf,
  type EngineTest,
  eventually,
  producerBatch,
  valuesOf,
  withCode,
} from "./engine.fixture.ts";
import type { Engine } from "./engine.ts";

const sequenceMax = 2 ** 31 - 1;

async function place(engine: Engine, origin: BatchOrigin, ...values: string[]): Promise<[number, number]> {
  const batch = producerBatch(origin, ...values);
  const { baseOffset, lastOffset } = await engine.append({ topic: "t", partition: 0, batch });
  return [baseOffset, lastOffset];
}

export function producersSuite(engineTest: EngineTest): void {
  engineTest("a batch that is sent again is answered with the offsets that it has", async (engine, { reopen }) => {
    await engine.createTopic("t");
    const producer = await engine.transactions.newProducerId();
    assert.deepEqual(await place(engine, { ...producer, sequence: 0 }, "a", "b"), [0, 1]);
    await engine.append({ topic: "t", partition: 0, batch: batchOf("plain") });
    assert.deepEqual(await place(engine, { ...producer, sequence: 2 }, "c"), [3, 3]);
    for await (const one of alsoReopened(engine, reopen)) {
      assert.deepEqual(await place(one, { ...producer, sequence: 0 }, "a", "b"), [0, 1]);
      assert.deepEqual(await place(one, { ...producer, sequence: 2 }, "c"), [3, 3]);
      assert.deepEqual(await valuesOf(one, "t"), ["a", "b", "plain", "c"]);
    }
  });

  engineTest("a batch that is sent twice at once is there once", async (engine) => {
    await engine.createTopic("t");
    const producer = await engine.transactions.newProducerId();
    const twice = [0, 1].map(() => place(engine, { ...producer, sequence: 0 }, "a"));
    assert.deepEqual(await Promise.all(twice), [
      [0, 0],
      [0, 0],
    ]);
    assert.deepEqual(await valuesOf(engine, "t"), ["a"]);
  });

  engineTest("the last five batches of a producer are remembered, also after a reopen", async (engine, { reopen }) => {
    await engine.createTopic("t");
    const producer = await engine.transactions.newProducerId();
    for (let i = 0; i < 6; i++) await place(engine, { ...producer, sequence: 2 * i }, `${i}`, `${i}`);
    for await (const one of alsoReopened(engine, reopen)) {
      for (let i = 1; i < 6; i++) {
        assert.deepEqual(await place(one, { ...producer, sequence: 2 * i }, `${i}`, `${i}`), [2 * i, 2 * i + 1]);
      }
      await assert.rejects(place(one, { ...producer, sequence: 0 }, "0", "0"), withCode("PRODUCER_SEQUENCE_INVALID"));
      assert.equal((await one.offsets("t", 0)).highWatermark, 12);
    }
  });

  engineTest("a gap in the sequences is refused, and filled by what was missing", async (engine, { reopen }) => {
    await engine.createTopic("t");
    const producer = await engine.transactions.newProducerId();
    await place(engine, { ...producer, sequence: 0 }, "a");
    for (const sequence of [2, 100, sequenceMax]) {
      await assert.rejects(place(engine, { ...producer, sequence }, "c"), withCode("PRODUCER_SEQUENCE_INVALID"));
    }
    await assert.rejects(place(engine, { ...producer, sequence: 0 }, "a", "b"), withCode("PRODUCER_SEQUENCE_INVALID"));
    await place(engine, { ...producer, sequence: 1 }, "b");
    const again = await reopen();
    await assert.rejects(place(again, { ...producer, sequence: 3 }, "d"), withCode("PRODUCER_SEQUENCE_INVALID"));
    await place(again, { ...producer, sequence: 2 }, "c");
    assert.deepEqual(await valuesOf(again, "t"), ["a", "b", "c"]);
  });

  engineTest(
    "a producer begins with the sequence 0 in an empty partition",
    async (engine) => {
      await engine.createTopic("t");
      const producer = await engine.transactions.newProducerId();
      await assert.rejects(place(engine, { ...producer, sequence: 1 }, "b"), withCode("PRODUCER_SEQUENCE_INVALID"));
      await place(engine, { ...producer, sequence: 0 }, "a");
    },
    ["first sequences"],
  );

  engineTest("sequences begin again at 0 behind the largest one", async (engine) => {
    await engine.createTopic("t");
    await engine.append({ topic: "t", partition: 0, batch: batchOf("plain") });
    const producer = await engine.transactions.newProducerId();
    assert.deepEqual(await place(engine, { ...producer, sequence: sequenceMax - 1 }, "a", "b", "c"), [1, 3]);
    await assert.rejects(place(engine, { ...producer, sequence: 2 }, "e"), withCode("PRODUCER_SEQUENCE_INVALID"));
    assert.deepEqual(await place(engine, { ...producer, sequence: 1 }, "d"), [4, 4]);
    assert.deepEqual(await place(engine, { ...producer, sequence: sequenceMax - 1 }, "a", "b", "c"), [1, 3]);
  });

  engineTest("an epoch that has ended is fenced, and a new one begins at 0", async (engine, { reopen }) => {
    await engine.createTopic("t");
    const { producerId } = await engine.transactions.newProducerId();
    await place(engine, { producerId, epoch: 0, sequence: 0 }, "a");
    await assert.rejects(
      place(engine, { producerId, epoch: 1, sequence: 1 }, "b"),
      withCode("PRODUCER_SEQUENCE_INVALID"),
    );
    await place(engine, { producerId, epoch: 1, sequence: 0 }, "b");
    for await (const one of alsoReopened(engine, reopen)) {
      for (const sequence of [0, 1]) {
        await assert.rejects(place(one, { producerId, epoch: 0, sequence }, "late"), withCode("PRODUCER_FENCED"));
      }
      await assert.rejects(place(one, { producerId, epoch: -1, sequence: 1 }, "late"), withCode("PRODUCER_FENCED"));
      assert.deepEqual(await valuesOf(one, "t"), ["a", "b"]);
    }
  });

  engineTest("each partition counts a producer's sequences for itself", async (engine) => {
    await engine.createTopic("t", { partitions: 2 });
    const producer = await engine.transactions.newProducerId();
    for (const partition of [0, 1]) {
      for (const sequence of [0, 1]) {
        const batch = producerBatch({ ...producer, sequence }, `${sequence}`);
        assert.equal((await engine.append({ topic: "t", partition, batch })).baseOffset, sequence);
      }
    }
  });

  engineTest("no producer id is given twice, to nobody and after no reopen", async (engine, { reopen }) => {
    const given: number[] = [];
    for (let at: Engine = engine, i = 0; i < 3; i++, at = await reopen()) {
      const plain = Array.from({ length: 30 }, () => at.transactions.newProducerId());
      const named = Array.from({ length: 5 }, (_, n) => at.transactions.init(`unit ${i}.${n}`, null));
      for (const { producerId } of await Promise.all([...plain, ...named])) given.push(producerId);
      given.push((await at.initProducer(`own ${i}`)).producerId);
    }
    assert.equal(new Set(given).size, given.length);
  });

  engineTest("a producer is known by batches that were deleted since", async (engine, { reopen }) => {
    await engine.createTopic("t");
    const producer = await engine.transactions.newProducerId();
    await place(engine, { ...producer, sequence: 0 }, "a", "b");
    await engine.deleteRecords("t", 0, 2);
    for await (const one of alsoReopened(engine, reopen)) {
      assert.deepEqual(await place(one, { ...producer, sequence: 0 }, "a", "b"), [0, 1]);
      await assert.rejects(place(one, { ...producer, sequence: 3 }, "d"), withCode("PRODUCER_SEQUENCE_INVALID"));
      assert.deepEqual(await valuesOf(one, "t"), []);
    }
  });

  engineTest(
    "a producer that was idle for a day is forgotten, and goes on where it is",
    async (engine, { clock }) => {
      await engine.createTopic("t");
      const producer = await engine.transactions.newProducerId();
      await place(engine, { ...producer, sequence: 0 }, "a");
      await clock.advance(3_600_000);
      assert.equal((await engine.producers("t", 0)).length, 1);
      clock.jump(24 * 3_600_000);
      await eventually(clock, async () => (await engine.producers("t", 0)).length === 0);
      assert.deepEqual(await place(engine, { ...producer, sequence: 1 }, "b"), [1, 1]);
    },
    ["virtual time"],
  );

  engineTest("a partition tells of its producers", async (engine, { clock }) => {
    await engine.createTopic("t");
    assert.deepEqual(await engine.producers("t", 0), []);
    const { producerId } = await engine.transactions.newProducerId();
    await place(engine, { producerId, epoch: 3, sequence: 0 }, "a", "b");
    const known = { producerId, epoch: 3, lastSequence: 1, lastTimestamp: clock.now() };
    assert.deepEqual(await engine.producers("t", 0), [
      { ...known, coordinatorEpoch: -1, currentTransactionStartOffset: -1 },
    ]);
    const unit = await engine.transactions.init("unit", null);
    await place(engine, { ...unit, sequence: 0, transactional: true }, "c");
    assert.equal((await engine.producers("t", 0))[1]?.currentTransactionStartOffset, 2);
    await assert.rejects(async () => engine.producers("t", 1), withCode("PARTITION_UNKNOWN"));
  });
}
