import assert from "node:assert/strict";
import { test } from "node:test";
import { over } from "../../base/over.fixture.ts";
import { hasErrorCode } from "./error-code.fixture.ts";
import { headersOf, openHouse, recordsOf, send, signed, turn } from "./webhooks.fixture.ts";

test("a group that does not fit into one batch is several batches of one transaction, in order", async () => {
  const house = await openHouse({ definitions: [signed("vendor", { ratePerSecond: null })] });
  const hook = await house.serving("vendor");
  const body = Buffer.alloc(300_000, 32);
  const places = await Promise.all(Array.from({ length: 12 }, (_, i) => send(hook, { id: `${i}`, body })));
  assert.deepEqual(
    places.map(({ offset }) => offset),
    Array.from({ length: 12 }, (_, i) => i),
  );
  const records = await recordsOf(house.engine, "vendor");
  assert.deepEqual(
    records.map((record) => headersOf(record)["millrace.id"]),
    Array.from({ length: 12 }, (_, i) => `${i}`),
  );
  await house.close();
});

test("what comes while a group is made durable is the next group", async () => {
  let open = () => {};
  let commits = 0;
  let isWatched = false;
  const house = await openHouse({
    wrap: (engine) =>
      over(engine, {
        async initProducer(...args: Parameters<typeof engine.initProducer>) {
          const producer = await engine.initProducer(...args);
          if (!args[0].includes("hooks/")) return producer;
          return over(producer, {
            begin() {
              const transaction = producer.begin();
              return over(transaction, {
                async commit() {
                  // The taking over is a transaction, too.
                  if (isWatched) commits++;
                  if (commits === 1) await new Promise<void>((resolve) => (open = resolve));
                  await transaction.commit();
                },
              });
            },
          });
        },
      }),
  });
  const hook = await house.serving("vendor");
  isWatched = true;
  const first = send(hook, { id: "first" });
  while (commits < 1) await turn();
  const rest = Array.from({ length: 20 }, (_, i) => send(hook, { id: `${i}` }));
  const copy = send(hook, { id: "first" });
  await turn();
  open();
  assert.equal((await first).offset, 0);
  assert.deepEqual(await copy, { partition: 0, offset: 0, duplicate: true });
  await Promise.all(rest);
  assert.equal(commits, 2);
  await house.close();
});

test("events that wait for the log are bounded in bytes", async () => {
  const limits = { pendingBytesMax: 1_000 };
  const house = await openHouse({ hooks: { limits } });
  const hook = await house.serving("vendor");
  const body = Buffer.alloc(600, 32);
  const first = send(hook, { id: "a", body });
  await assert.rejects(send(hook, { id: "b", body }), hasErrorCode("HOOK_BUSY"));
  await first;
  assert.equal((await send(hook, { id: "b", body })).duplicate, false);
  await house.close();
});

test("a source that is closed lets what waits be committed, and refuses what comes after", async () => {
  const house = await openHouse();
  const hook = await house.serving("vendor");
  const sent = Array.from({ length: 5 }, (_, i) => send(hook, { id: `${i}` }));
  await turn();
  const closed = house.hooks.close();
  await assert.rejects(send(hook, { id: "late" }), hasErrorCode("SHUTTING_DOWN"));
  await Promise.all(sent);
  await closed;
  assert.equal(hook.status().state.kind, "stopped");
  await house.close();
});
