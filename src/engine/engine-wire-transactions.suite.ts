/**
 * What every engine must do: transactions as older clients have them, whose epoch stays and whose partitions are added before
 * they are written to; calls that are repeated; and what goes on after a restart.
 */
import assert from "node:assert/strict";
import {
  alsoReopened,
  assertSettled,
  type EngineTest,
  eventually,
  producerBatch,
  valuesOf,
  withCode,
} from "./engine.fixture.ts";
import type { Engine, ProducerIdentity, TransactionVersion } from "./engine.ts";

interface Sent {
  readonly sequence: number;
  readonly partition?: number;
  readonly version?: TransactionVersion;
  readonly transactionalId?: string;
}

/** As a client of version 1, unless it is said otherwise. */
async function send(engine: Engine, producer: ProducerIdentity, value: string, sent: Sent): Promise<number> {
  const { sequence, partition = 0, version = 1, transactionalId } = sent;
  const batch = producerBatch({ ...producer, sequence, transactional: true }, value);
  const named = transactionalId === undefined ? {} : { transactionalId };
  return (await engine.append({ topic: "t", partition, batch, transactionVersion: version, ...named })).baseOffset;
}

function places(...partitions: number[]) {
  return partitions.map((partition) => ({ topic: "t", partition }));
}

const old = { transactionVersion: 1 } as const;

export function wireTransactionsSuite(engineTest: EngineTest): void {
  engineTest("an older client keeps its epoch and counts on over its transactions", async (engine, { reopen }) => {
    await engine.createTopic("t", { partitions: 2 });
    const producer = await engine.transactions.init("unit", null);
    let at = engine;
    for (const [i, outcome] of (["commit", "abort", "commit"] as const).entries()) {
      await at.transactions.addPartitions("unit", producer, places(0, 1));
      await send(at, producer, `${i} a`, { sequence: 2 * i });
      await send(at, producer, `${i} b`, { sequence: 2 * i + 1 });
      assert.deepEqual(await at.transactions.end("unit", producer, outcome, old), producer);
      assertSettled(await at.offsets("t", 0));
      at = await reopen();
    }
    assert.deepEqual(await valuesOf(at, "t"), ["0 a", "0 b", "2 a", "2 b"]);
    assertSettled(await at.offsets("t", 1));
  });

  engineTest("a partition that an older client has not added takes nothing of its transaction", async (engine) => {
    await engine.createTopic("t", { partitions: 3 });
    const { transactions } = engine;
    const producer = await transactions.init("unit", null);
    await assert.rejects(send(engine, producer, "early", { sequence: 0 }), withCode("TRANSACTION_PARTITION_MISSING"));
    await transactions.addPartitions("unit", producer, places(0));
    await send(engine, producer, "a", { sequence: 0 });
    const outside = send(engine, producer, "outside", { sequence: 0, partition: 1 });
    await assert.rejects(outside, withCode("TRANSACTION_PARTITION_MISSING"));
    await transactions.addPartitions("unit", producer, places(1, 0));
    await send(engine, producer, "b", { sequence: 0, partition: 1 });
    await transactions.end("unit", producer, "commit", old);
    await assert.rejects(send(engine, producer, "late", { sequence: 1 }), withCode("TRANSACTION_PARTITION_MISSING"));
    for (const [partition, value] of [
      [0, "a"],
      [1, "b"],
    ] as const) {
      assertSettled(await engine.offsets("t", partition));
      assert.deepEqual(await valuesOf(engine, "t", { partition }), [value]);
    }
  });

  engineTest(
    "what an older client sent in time is answered as then, behind the end of its transaction too",
    async (engine) => {
      await engine.createTopic("t");
      const producer = await engine.transactions.init("unit", null);
      await engine.transactions.addPartitions("unit", producer, places(0));
      await send(engine, producer, "a", { sequence: 0 });
      await engine.transactions.end("unit", producer, "commit", old);
      assert.equal(await send(engine, producer, "a", { sequence: 0 }), 0);
      assert.deepEqual(await valuesOf(engine, "t"), ["a"]);
    },
    ["late answers"],
  );

  engineTest("partitions are added by who has the id, and to topics that there are", async (engine) => {
    await engine.createTopic("t");
    const { transactions } = engine;
    const first = await transactions.init("unit", null);
    const producer = await transactions.init("unit", null);
    const wrong: [ProducerIdentity, string, "PRODUCER_FENCED" | "PRODUCER_UNKNOWN"][] = [
      [first, "unit", "PRODUCER_FENCED"],
      [{ ...producer, epoch: producer.epoch + 1 }, "unit", "PRODUCER_FENCED"],
      [{ ...producer, producerId: 999_999 }, "unit", "PRODUCER_UNKNOWN"],
      [producer, "nobody", "PRODUCER_UNKNOWN"],
    ];
    for (const [identity, id, code] of wrong) {
      await assert.rejects(transactions.addPartitions(id, identity, places(0)), withCode(code));
    }
    await assert.rejects(transactions.addPartitions("unit", producer, places(1)), withCode("PARTITION_UNKNOWN"));
    const unknown = [{ topic: "unknown", partition: 0 }];
    await assert.rejects(transactions.addPartitions("unit", producer, unknown), withCode("TOPIC_UNKNOWN"));
    assert.equal((await transactions.describe("unit"))?.state, "empty");
  });

  engineTest("a transaction to which nothing was written is ended like another one", async (engine, { reopen }) => {
    await engine.createTopic("t");
    const producer = await engine.transactions.init("unit", null);
    await engine.transactions.addPartitions("unit", producer, places(0));
    assert.equal((await engine.transactions.describe("unit"))?.state, "ongoing");
    assert.deepEqual(await engine.transactions.end("unit", producer, "commit", old), producer);
    for await (const one of alsoReopened(engine, reopen)) {
      const { state, outcome } = (await one.transactions.describe("unit")) ?? {};
      assert.deepEqual([state, outcome], ["empty", "commit"]);
      assert.deepEqual(await valuesOf(one, "t"), []);
    }
  });

  engineTest("the end of an older client may be asked for again, and not the other one", async (engine, { reopen }) => {
    await engine.createTopic("t");
    const producer = await engine.transactions.init("unit", null);
    const end = (one: Engine, outcome: "commit" | "abort") => one.transactions.end("unit", producer, outcome, old);
    for (const outcome of ["commit", "abort"] as const) {
      await assert.rejects(end(engine, outcome), withCode("TRANSACTION_INVALID"));
    }
    await engine.transactions.addPartitions("unit", producer, places(0));
    await send(engine, producer, "a", { sequence: 0 });
    await end(engine, "commit");
    for await (const one of alsoReopened(engine, reopen)) {
      assert.deepEqual(await end(one, "commit"), producer);
      await assert.rejects(end(one, "abort"), withCode("TRANSACTION_INVALID"));
      assert.deepEqual(await valuesOf(one, "t"), ["a"]);
    }
  });

  engineTest("the end of a newer client may be asked for again, by the epoch before", async (engine, { reopen }) => {
    await engine.createTopic("t");
    const first = await engine.transactions.init("unit", null);
    await send(engine, first, "a", { sequence: 0, version: 2 });
    const second = await engine.transactions.end("unit", first, "abort");
    for await (const one of alsoReopened(engine, reopen)) {
      assert.deepEqual(await one.transactions.end("unit", first, "abort"), second);
      await assert.rejects(one.transactions.end("unit", first, "commit"), withCode("TRANSACTION_INVALID"));
    }
  });

  engineTest("a newer client may abort what it has not begun, and its epoch grows", async (engine) => {
    const first = await engine.transactions.init("unit", null);
    const second = await engine.transactions.end("unit", first, "abort");
    assert.deepEqual(second, { ...second, producerId: first.producerId, epoch: first.epoch + 1 });
    const third = await engine.transactions.end("unit", second, "abort");
    assert.equal(third.epoch, second.epoch + 1);
    await assert.rejects(engine.transactions.end("unit", third, "commit"), withCode("TRANSACTION_INVALID"));
  });

  engineTest("who says which producer it has gets the next epoch of that one", async (engine, { reopen }) => {
    await engine.createTopic("t");
    const init = (one: Engine, producer?: ProducerIdentity) =>
      one.transactions.init("unit", null, producer ? { producer } : {});
    const first = await init(engine, { producerId: 123, epoch: 45 });
    assert.equal(first.epoch, 0);
    await engine.transactions.addPartitions("unit", first, places(0));
    await send(engine, first, "lost", { sequence: 0 });
    const second = await init(engine, first);
    assert.deepEqual([second.producerId, second.epoch], [first.producerId, first.epoch + 1]);
    assertSettled(await engine.offsets("t", 0));
    for await (const one of alsoReopened(engine, reopen)) {
      const again = await init(one, first);
      assert.deepEqual([again.producerId, again.epoch], [second.producerId, second.epoch], "the call is a repetition");
      for (const wrong of [
        { ...first, epoch: second.epoch + 1 },
        { ...second, producerId: 999_999 },
      ]) {
        await assert.rejects(init(one, wrong), withCode("PRODUCER_FENCED"));
      }
      const taken = await one.transactions.init("other", null);
      await one.transactions.init("other", null);
      const old = one.transactions.init("other", null, { producer: taken });
      await assert.rejects(old, withCode("PRODUCER_FENCED"));
    }
  });

  engineTest(
    "a late repetition ends nothing that was begun since",
    async (engine) => {
      await engine.createTopic("t");
      const { transactions } = engine;
      const first = await transactions.init("unit", null);
      const second = await transactions.init("unit", null, { producer: first });
      await send(engine, second, "a", { sequence: 0, version: 2 });
      await assert.rejects(transactions.init("unit", null, { producer: first }), withCode("PRODUCER_FENCED"));
      await transactions.end("unit", second, "commit");
      assert.deepEqual(await valuesOf(engine, "t"), ["a"]);
    },
    ["late repetitions"],
  );

  engineTest("a batch that names another id than its producer's is refused", async (engine) => {
    await engine.createTopic("t");
    const { transactions } = engine;
    const [mine, theirs] = await Promise.all([transactions.init("mine", null), transactions.init("theirs", null)]);
    await transactions.addPartitions("theirs", theirs, places(0));
    for (const version of [1, 2] as const) {
      const sent = { sequence: 0, version, transactionalId: "mine" };
      await assert.rejects(send(engine, theirs, "forged", sent), withCode("PRODUCER_UNKNOWN"));
    }
    await send(engine, mine, "a", { sequence: 0, version: 2, transactionalId: "mine" });
    await transactions.end("mine", mine, "commit");
    await transactions.end("theirs", theirs, "commit", old);
    assert.deepEqual(await valuesOf(engine, "t"), ["a"]);
  });

  engineTest("what a client has open when the log is closed goes on after it", async (engine, { reopen }) => {
    await engine.createTopic("t", { partitions: 4 });
    const older = await engine.transactions.init("older", null);
    const newer = await engine.transactions.init("newer", null);
    await engine.transactions.addPartitions("older", older, places(0, 1));
    await send(engine, older, "older 0", { sequence: 0 });
    await send(engine, newer, "newer 0", { sequence: 0, partition: 2, version: 2 });
    let at = await reopen();
    for (let i = 1; i < 3; i++) {
      for (const partition of [0, 2]) {
        assert.equal((await at.offsets("t", partition)).lastStable, 0);
        assert.deepEqual(await valuesOf(at, "t", { partition }), []);
      }
      assert.equal(await send(at, older, `older ${i - 1}`, { sequence: i - 1 }), i - 1);
      await assert.rejects(send(at, older, "gap", { sequence: i + 1 }), withCode("PRODUCER_SEQUENCE_INVALID"));
      await send(at, older, `older ${i}`, { sequence: i });
      await send(at, newer, `newer ${i}`, { sequence: i, partition: 2, version: 2 });
      at = await reopen();
    }
    // The one that it added and did not write to.
    await send(at, older, "older 3", { sequence: 0, partition: 1 });
    await assert.rejects(
      send(at, older, "outside", { sequence: 0, partition: 3 }),
      withCode("TRANSACTION_PARTITION_MISSING"),
    );
    await send(at, newer, "newer 3", { sequence: 0, partition: 3, version: 2 });
    await at.transactions.end("older", older, "commit", old);
    await at.transactions.end("newer", newer, "commit");
    for await (const one of alsoReopened(at, reopen)) {
      const found = [0, 1, 2, 3].map((partition) => valuesOf(one, "t", { partition }));
      assert.deepEqual(await Promise.all(found), [
        ["older 0", "older 1", "older 2"],
        ["older 3"],
        ["newer 0", "newer 1", "newer 2"],
        ["newer 3"],
      ]);
      for (const partition of [0, 1, 2, 3]) assertSettled(await one.offsets("t", partition));
    }
  });

  engineTest(
    "what a client has open is aborted after a restart too, by itself or by the next one",
    async (engine, { reopen }) => {
      await engine.createTopic("t", { partitions: 2 });
      const one = await engine.transactions.init("one", null);
      const two = await engine.transactions.init("two", null);
      await send(engine, one, "lost", { sequence: 0, version: 2 });
      await send(engine, two, "lost", { sequence: 0, partition: 1, version: 2 });
      const again = await reopen();
      await again.transactions.end("one", one, "abort");
      await again.transactions.init("two", null);
      for (const partition of [0, 1]) {
        assertSettled(await again.offsets("t", partition));
        assert.deepEqual(await valuesOf(again, "t", { partition }), []);
      }
      await assert.rejects(again.transactions.end("two", two, "commit"), withCode("PRODUCER_FENCED"));
    },
  );

  engineTest(
    "the timeout counts on over a restart",
    async (engine, { clock, reopen }) => {
      await engine.createTopic("t", { partitions: 2 });
      const older = await engine.transactions.init("older", 60_000);
      const newer = await engine.transactions.init("newer", 60_000);
      await engine.transactions.addPartitions("older", older, places(0));
      await send(engine, older, "late", { sequence: 0 });
      await send(engine, newer, "late", { sequence: 0, partition: 1, version: 2 });
      const startedMs = clock.now();
      await clock.advance(40_000);
      const again = await reopen();
      // Some engines have clocks that begin anew with them.
      if (clock.now() < startedMs + 40_000) clock.jump(40_000);
      for (const id of ["older", "newer"]) {
        assert.equal((await again.transactions.describe(id))?.state, "ongoing");
        assert.equal((await again.transactions.describe(id))?.startedMs, startedMs);
      }
      clock.jump(21_000);
      await eventually(clock, async () => {
        const found = await Promise.all(["older", "newer"].map((id) => again.transactions.describe(id)));
        return found.every((info) => info?.state === "empty" && info.outcome === "abort");
      });
      for (const partition of [0, 1]) assertSettled(await again.offsets("t", partition));
      await assert.rejects(again.transactions.end("older", older, "commit", old), withCode("PRODUCER_FENCED"));
      await assert.rejects(again.transactions.end("older", older, "abort", old), withCode("PRODUCER_FENCED"));
      await assert.rejects(again.transactions.end("newer", newer, "commit"), withCode("PRODUCER_FENCED"));
    },
    ["virtual time"],
  );

  engineTest("an operator aborts a transaction by a partition, and the whole of it", async (engine) => {
    const { transactions } = engine;
    await engine.createTopic("t", { partitions: 3 });
    const producer = await transactions.init("unit", null);
    for (const partition of [0, 1]) await send(engine, producer, "hangs", { sequence: 0, partition, version: 2 });
    await transactions.abortIn("t", 2, producer);
    await transactions.abortIn("t", 0, { ...producer, producerId: 999_999 });
    assert.equal((await transactions.describe("unit"))?.state, "ongoing");
    await transactions.abortIn("t", 1, producer);
    for (const partition of [0, 1]) {
      assertSettled(await engine.offsets("t", partition));
      assert.deepEqual(await valuesOf(engine, "t", { partition }), []);
    }
    await assert.rejects(transactions.end("unit", producer, "commit"), withCode("PRODUCER_FENCED"));
  });

  engineTest(
    "a transactional batch without a sequence is taken where only this process writes",
    async (engine, { reopen }) => {
      await engine.createTopic("own", {}, { readOnly: true });
      await engine.createTopic("t");
      const producer = await engine.transactions.init("unit", null);
      const batch = (value: string) => producerBatch({ ...producer, sequence: -1, transactional: true }, value);
      const place = (value: string, version: TransactionVersion) =>
        engine.append({ topic: "own", partition: 0, batch: batch(value), transactionVersion: version });
      await assert.rejects(
        engine.append({ topic: "t", partition: 0, batch: batch("wire") }),
        withCode("RECORD_INVALID"),
      );
      await assert.rejects(place("early", 1), withCode("TRANSACTION_PARTITION_MISSING"));
      await engine.transactions.addPartitions("unit", producer, [{ topic: "own", partition: 0 }]);
      for (const value of ["a", "a", "b"]) await place(value, 1);
      assert.deepEqual(await valuesOf(engine, "own"), []);
      const again = await reopen();
      assert.equal((await again.offsets("own", 0)).lastStable, 0);
      await again.transactions.end("unit", producer, "commit", old);
      assert.deepEqual(await valuesOf(again, "own"), ["a", "a", "b"]);
      const next = await again.transactions.init("unit", null);
      const newer = (value: string) => producerBatch({ ...next, sequence: -1, transactional: true }, value);
      await again.append({ topic: "own", partition: 0, batch: newer("c") });
      await again.transactions.end("unit", next, "commit");
      assert.deepEqual(await valuesOf(again, "own"), ["a", "a", "b", "c"]);
      await assert.rejects(
        again.append({ topic: "own", partition: 0, batch: newer("late") }),
        withCode("PRODUCER_FENCED"),
      );
    },
    ["batches without a sequence"],
  );
}
