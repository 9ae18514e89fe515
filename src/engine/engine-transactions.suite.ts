/** What every engine must do: transactions of producers that name themselves in their batches (KIP-98, KIP-890). */
import assert from "node:assert/strict";
import {
  alsoReopened,
  assertSettled,
  batchOf,
  type EngineTest,
  eventually,
  producerBatch,
  valuesOf,
  withCode,
} from "./engine.fixture.ts";
import type { Engine, ProducerIdentity } from "./engine.ts";

async function send(
  engine: Engine,
  producer: ProducerIdentity,
  sequence: number,
  value: string,
  partition = 0,
): Promise<number> {
  const { producerId, epoch } = producer;
  const batch = producerBatch({ producerId, epoch, sequence, transactional: true }, value);
  return (await engine.append({ topic: "t", partition, batch })).baseOffset;
}

export function transactionsSuite(engineTest: EngineTest): void {
  engineTest(
    "batches of a transactional producer are read whole after its end, and its epoch grows",
    async (engine, { reopen }) => {
      const { transactions } = engine;
      await engine.createTopic("t", { partitions: 3 });
      const first = await transactions.init("unit", null);
      for (const partition of [0, 1]) {
        await send(engine, first, 0, "a", partition);
        await send(engine, first, 1, "b", partition);
      }
      assert.deepEqual(await valuesOf(engine, "t"), []);
      const second = await transactions.end("unit", first, "commit");
      assert.deepEqual([second.producerId, second.epoch], [first.producerId, first.epoch + 1]);
      for (const partition of [0, 1]) assert.deepEqual(await valuesOf(engine, "t", { partition }), ["a", "b"]);
      await send(engine, second, 0, "never", 0);
      await send(engine, second, 0, "never", 2);
      const third = await transactions.end("unit", second, "abort");
      assert.equal(third.epoch, second.epoch + 1);
      await send(engine, third, 0, "c", 2);
      await transactions.end("unit", third, "commit");
      for await (const one of alsoReopened(engine, reopen)) {
        assert.deepEqual(await valuesOf(one, "t"), ["a", "b"]);
        assert.deepEqual(await valuesOf(one, "t", { partition: 2 }), ["c"]);
        for (const partition of [0, 1, 2]) assertSettled(await one.offsets("t", partition));
      }
    },
  );

  engineTest("a batch of a transaction that is sent again is there once, and a gap is refused", async (engine) => {
    await engine.createTopic("t");
    const producer = await engine.transactions.init("unit", null);
    assert.equal(await send(engine, producer, 0, "a"), 0);
    assert.equal(await send(engine, producer, 0, "a"), 0);
    await assert.rejects(send(engine, producer, 2, "c"), withCode("PRODUCER_SEQUENCE_INVALID"));
    assert.equal(await send(engine, producer, 1, "b"), 1);
    await engine.transactions.end("unit", producer, "commit");
    assert.deepEqual(await valuesOf(engine, "t"), ["a", "b"]);
  });

  engineTest("a batch that comes behind the end of its transaction is fenced", async (engine, { reopen }) => {
    await engine.createTopic("t", { partitions: 2 });
    const first = await engine.transactions.init("unit", null);
    await send(engine, first, 0, "a");
    const second = await engine.transactions.end("unit", first, "commit");
    for await (const one of alsoReopened(engine, reopen)) {
      for (const sequence of [0, 1]) {
        await assert.rejects(send(one, first, sequence, "late"), withCode("PRODUCER_FENCED"));
        await assert.rejects(send(one, first, sequence, "late", 1), withCode("PRODUCER_FENCED"));
      }
      assertSettled(await one.offsets("t", 1));
    }
    assert.equal(second.epoch, first.epoch + 1);
  });

  engineTest("a transaction is ended once, by the epoch that it has", async (engine) => {
    const { transactions } = engine;
    await engine.createTopic("t");
    const first = await transactions.init("unit", null);
    await assert.rejects(transactions.end("unit", first, "commit"), withCode("TRANSACTION_INVALID"));
    await send(engine, first, 0, "a");
    const second = await transactions.end("unit", first, "commit");
    await assert.rejects(transactions.end("unit", second, "commit"), withCode("TRANSACTION_INVALID"));
    await send(engine, second, 0, "b");
    for (const wrong of [first, { ...second, epoch: second.epoch + 1 }]) {
      await assert.rejects(transactions.end("unit", wrong, "abort"), withCode("PRODUCER_FENCED"));
    }
    const stranger = { ...second, producerId: 999_999 };
    await assert.rejects(transactions.end("unit", stranger, "abort"), withCode("PRODUCER_UNKNOWN"));
    await assert.rejects(transactions.end("nobody", second, "abort"), withCode("PRODUCER_UNKNOWN"));
    const ends = [transactions.end("unit", second, "commit"), transactions.end("unit", second, "abort")];
    const outcomes = await Promise.allSettled(ends);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ["fulfilled", "rejected"],
    );
    assert.deepEqual(await valuesOf(engine, "t"), ["a", "b"]);
  });

  engineTest("a transactional batch of a producer that no id has is refused", async (engine) => {
    await engine.createTopic("t");
    const plain = await engine.transactions.newProducerId();
    for (const producer of [plain, { producerId: 999_999, epoch: 0 }]) {
      await assert.rejects(send(engine, producer, 0, "a"), withCode("PRODUCER_UNKNOWN"));
    }
    await assert.rejects(send(engine, { producerId: -1, epoch: -1 }, -1, "a"), withCode("RECORD_INVALID"));
    assert.deepEqual(await engine.producers("t", 0), []);
    assert.deepEqual(await engine.transactions.list(), []);
  });

  engineTest("open transactions of two ids end each for itself", async (engine, { reopen }) => {
    await engine.createTopic("t");
    const { transactions } = engine;
    const [one, two] = await Promise.all([transactions.init("one", null), transactions.init("two", null)]);
    for (let i = 0; i < 3; i++) {
      await send(engine, one, i, `one ${i}`);
      await send(engine, two, i, `two ${i}`);
    }
    await transactions.end("two", two, "commit");
    assert.deepEqual(await valuesOf(engine, "t"), []);
    assert.equal((await engine.offsets("t", 0)).lastStable, 0);
    await transactions.end("one", one, "abort");
    for await (const each of alsoReopened(engine, reopen)) {
      assert.deepEqual(await valuesOf(each, "t"), ["two 0", "two 1", "two 2"]);
    }
  });

  engineTest("a plain batch beside an open transaction of its producer is refused", async (engine) => {
    await engine.createTopic("t", { partitions: 2 });
    const producer = await engine.transactions.init("unit", null);
    await send(engine, producer, 0, "a");
    const plain = () => producerBatch({ ...producer, sequence: 1 }, "beside");
    await assert.rejects(engine.append({ topic: "t", partition: 0, batch: plain() }), withCode("TRANSACTION_INVALID"));
    await engine.transactions.end("unit", producer, "commit");
    assert.deepEqual(await valuesOf(engine, "t"), ["a"]);
  });

  engineTest(
    "an id that is taken has the next epoch",
    async (engine) => {
      await engine.createTopic("t");
      const old = await engine.transactions.init("unit", null);
      await send(engine, old, 0, "lost");
      const young = await engine.transactions.init("unit", null);
      assert.deepEqual([young.producerId, young.epoch], [old.producerId, old.epoch + 1]);
    },
    ["every epoch"],
  );

  engineTest(
    "a client's batch that names a producer of code in this process is one of nobody",
    async (engine) => {
      await engine.createTopic("t");
      const { producerId, epoch } = await engine.initProducer("unit");
      await assert.rejects(send(engine, { producerId, epoch }, 0, "forged"), withCode("PRODUCER_UNKNOWN"));
    },
    ["ids of its own"],
  );

  engineTest("transactional ids tell their state, and what they have open", async (engine, { reopen }) => {
    const { transactions } = engine;
    await engine.createTopic("t", { partitions: 2 });
    assert.deepEqual(await transactions.list(), []);
    assert.equal(await transactions.describe("unit"), undefined);
    const producer = await transactions.init("unit", 60_000);
    const said = async (one: Engine) => {
      const [info, ...others] = await one.transactions.list();
      assert.equal(others.length, 0);
      assert.deepEqual(await one.transactions.describe("unit"), info);
      return [info?.transactionalId, info?.producerId, info?.epoch, info?.state, info?.timeoutMs, info?.partitions];
    };
    const { producerId, epoch } = producer;
    assert.deepEqual(await said(engine), ["unit", producerId, epoch, "empty", 60_000, []]);
    await send(engine, producer, 0, "a", 1);
    const open = [{ topic: "t", partition: 1 }];
    assert.deepEqual(await said(engine), ["unit", producerId, epoch, "ongoing", 60_000, open]);
    assert.ok(((await transactions.describe("unit"))?.startedMs ?? 0) > 0);
    const next = await transactions.end("unit", producer, "commit");
    assert.deepEqual(await said(await reopen()), ["unit", producerId, next.epoch, "empty", 60_000, []]);
  });

  engineTest("a taken transactional id fences the batches of its holder", async (engine) => {
    await engine.createTopic("t", { partitions: 2 });
    const { transactions } = engine;
    const old = await transactions.init("unit", null);
    await send(engine, old, 0, "lost");
    const young = await transactions.init("unit", null);
    assert.equal(young.producerId, old.producerId);
    assert.ok(young.epoch > old.epoch);
    assertSettled(await engine.offsets("t", 0));
    for (const partition of [0, 1]) {
      await assert.rejects(send(engine, old, 1, "late", partition), withCode("PRODUCER_FENCED"));
    }
    await assert.rejects(transactions.end("unit", old, "commit"), withCode("PRODUCER_FENCED"));
    await send(engine, young, 0, "new");
    await transactions.end("unit", young, "commit");
    assert.deepEqual(await valuesOf(engine, "t"), ["new"]);
  });

  engineTest(
    "what code in this process had open when the log was closed is aborted, and cannot be gone on with",
    async (engine, { reopen }) => {
      await engine.createTopic("t", { partitions: 2 });
      const producer = await engine.initProducer("unit");
      const { producerId, epoch } = producer;
      const open = producer.begin();
      await open.append({ topic: "t", partition: 0, batch: batchOf("lost") });
      const again = await reopen();
      assertSettled(await again.offsets("t", 0));
      // Half of it would be committed, were the other partition to take its part.
      for (const partition of [0, 1]) {
        await assert.rejects(
          send(again, { producerId, epoch }, 1, "half", partition),
          withCode("PRODUCER_UNKNOWN", "PRODUCER_FENCED"),
        );
      }
      const next = await again.initProducer("unit");
      assert.deepEqual([next.producerId, next.epoch > epoch], [producerId, true]);
      const whole = next.begin();
      await whole.append({ topic: "t", partition: 1, batch: batchOf("whole") });
      await whole.commit();
      const third = await reopen();
      assert.deepEqual(await valuesOf(third, "t"), []);
      assert.deepEqual(await valuesOf(third, "t", { partition: 1 }), ["whole"]);
    },
  );

  engineTest(
    "transactional ids are listed and described, with what they have open",
    async (engine, { clock, reopen }) => {
      const { transactions } = engine;
      await engine.createTopic("t", { partitions: 2 });
      assert.deepEqual(await transactions.list(), []);
      assert.equal(await transactions.describe("unit"), undefined);
      const producer = await transactions.init("unit", 60_000);
      const { producerId, epoch } = producer;
      const takenMs = clock.now();
      const empty = { transactionalId: "unit", producerId, epoch, state: "empty", timeoutMs: 60_000 };
      const nothing = { outcome: undefined, startedMs: undefined, partitions: [] };
      assert.deepEqual(await transactions.describe("unit"), { ...empty, ...nothing, updatedMs: takenMs });
      await clock.advance(1000);
      const startedMs = clock.now();
      await send(engine, producer, 0, "a", 1);
      await clock.advance(1000);
      const partitions = [{ topic: "t", partition: 1 }];
      const open = { ...empty, ...nothing, state: "ongoing", startedMs, updatedMs: startedMs, partitions };
      assert.deepEqual(await transactions.describe("unit"), open);
      assert.deepEqual(await transactions.list(), [open]);
      const next = await transactions.end("unit", producer, "commit");
      const ended = { ...empty, ...nothing, epoch: next.epoch, outcome: "commit", updatedMs: clock.now() };
      assert.deepEqual(await transactions.list(), [ended]);
      assert.deepEqual(await (await reopen()).transactions.list(), [ended]);
    },
    ["virtual time"],
  );

  engineTest("a hanging transaction is found, and aborted by its id", async (engine) => {
    const { transactions } = engine;
    await engine.createTopic("t");
    const producer = await transactions.init("unit", null);
    await send(engine, producer, 0, "hangs");
    await engine.append({ topic: "t", partition: 0, batch: batchOf("plain") });
    assert.equal((await transactions.list())[0]?.state, "ongoing");
    assert.equal(await transactions.abort("unit"), true);
    assert.deepEqual(await valuesOf(engine, "t"), ["plain"]);
    assert.equal((await transactions.describe("unit"))?.state, "empty");
    assert.equal(await transactions.abort("unit"), false);
    assert.equal(await transactions.abort("nobody"), false);
    await assert.rejects(send(engine, producer, 1, "late"), withCode("PRODUCER_FENCED"));
    await assert.rejects(transactions.end("unit", producer, "commit"), withCode("PRODUCER_FENCED"));
  });

  engineTest("a transaction of code in this process is found and aborted in the same way", async (engine) => {
    await engine.createTopic("t");
    const producer = await engine.initProducer("unit");
    const transaction = producer.begin();
    await transaction.append({ topic: "t", partition: 0, batch: batchOf("hangs") });
    assert.deepEqual((await engine.transactions.describe("unit"))?.partitions, [{ topic: "t", partition: 0 }]);
    assert.equal(await engine.transactions.abort("unit"), true);
    await assert.rejects(transaction.commit(), withCode("PRODUCER_FENCED"));
    assert.throws(() => producer.begin(), withCode("PRODUCER_FENCED"));
    assert.deepEqual(await valuesOf(engine, "t"), []);
  });

  engineTest(
    "a transaction that is open for longer than its timeout is aborted",
    async (engine, { clock }) => {
      const { transactions } = engine;
      await engine.createTopic("t", { partitions: 3 });
      const timed = await transactions.init("timed", 60_000);
      const patient = await transactions.init("patient", null);
      const inProcess = (await engine.initProducer("in process", { timeoutMs: 60_000 })).begin();
      await send(engine, timed, 0, "late", 0);
      await send(engine, patient, 0, "in time", 1);
      await inProcess.append({ topic: "t", partition: 2, batch: batchOf("late") });
      await clock.advance(50_000);
      assert.equal((await transactions.describe("timed"))?.state, "ongoing");
      await eventually(clock, async () => {
        const found = await Promise.all(["timed", "in process"].map((id) => transactions.describe(id)));
        return found.every((one) => one?.state === "empty");
      });
      for (const partition of [0, 2]) {
        assertSettled(await engine.offsets("t", partition));
        assert.deepEqual(await valuesOf(engine, "t", { partition }), []);
      }
      await assert.rejects(transactions.end("timed", timed, "commit"), withCode("PRODUCER_FENCED"));
      await assert.rejects(inProcess.commit(), withCode("PRODUCER_FENCED"));
      await clock.advance(3_600_000);
      await transactions.end("patient", patient, "commit");
      assert.deepEqual(await valuesOf(engine, "t", { partition: 1 }), ["in time"]);
    },
    ["virtual time"],
  );

  engineTest(
    "an id that nobody used for a week is forgotten, and its producer id with it",
    async (engine, fixture) => {
      const { clock, reopen } = fixture;
      await engine.createTopic("t");
      const old = await engine.transactions.init("old", null);
      await send(engine, old, 0, "a");
      const ended = await engine.transactions.end("old", old, "commit");
      const open = await engine.transactions.init("open", null);
      await send(engine, open, 0, "b");
      clock.jump(8 * 24 * 3_600_000);
      await eventually(clock, async () => (await engine.transactions.describe("old")) === undefined);
      assert.equal((await engine.transactions.describe("open"))?.state, "ongoing");
      await assert.rejects(send(engine, ended, 0, "late"), withCode("PRODUCER_UNKNOWN"));
      await engine.transactions.end("open", open, "commit");
      const again = await reopen();
      assert.equal(await again.transactions.describe("old"), undefined);
      const made = await again.transactions.init("old", null);
      assert.ok(![old.producerId, open.producerId].includes(made.producerId));
      assert.equal(made.epoch, 0);
      assert.deepEqual(await valuesOf(again, "t"), ["a", "b"]);
    },
    ["virtual time"],
  );

  engineTest(
    "the timeout counts from the beginning of each transaction",
    async (engine, { clock }) => {
      const { transactions } = engine;
      await engine.createTopic("t");
      let producer = await transactions.init("unit", 60_000);
      for (let i = 0; i < 5; i++) {
        await send(engine, producer, 0, `${i}`);
        await clock.advance(40_000);
        producer = await transactions.end("unit", producer, "commit");
        await clock.advance(40_000);
      }
      assert.deepEqual(await valuesOf(engine, "t"), ["0", "1", "2", "3", "4"]);
    },
    ["virtual time"],
  );
}
