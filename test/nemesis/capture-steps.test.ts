/**
 * The same history again and again, and a crash at another step each time: after every operation of the log's disk,
 * after every so many bytes from the server, after every statement in the server. What was received, logged or
 * acknowledged by then differs; what the log holds in the end does not.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { KillablePostgres } from "../support/killable-postgres.ts";
import { StepWorld, stepServer } from "./capture/step-world.ts";

const long = process.env.MILLRACE_SOAK === "1";
/** Rows that the tables begin with. */
const rows = 60;

/** Transactions of every kind; `n` keeps what each round inserts apart. */
const history = (n: number): readonly string[] => [
  "update accounts set balance = balance - 5 where id = 1; update accounts set balance = balance + 5 where id = 2",
  `insert into items values (${1000 + n}, 1, repeat(md5('${n}'), 80)); update items set v = v + 1 where id = ${1000 + n};
   update items set id = ${100_000 + n} where id = ${1000 + n}`,
  `insert into bulk select ${n}, i, i from generate_series(1, 1200) i; savepoint a;
   update bulk set v = v + 1 where batch = ${n}; rollback to a;
   delete from bulk where batch = ${n} and n % 2 = 0; insert into whole values (${5000 + n}, ${n}, null)`,
  `delete from items where id = ${100_000 + n}; insert into items values (${100_000 + n}, 7, 'again')`,
  `truncate whole; insert into whole values (${n}, 1, 'x'); update whole set note = 'y'`,
  `delete from bulk where batch = ${n - 1}; update items set v = v + 1`,
];

describe("a crash at every step", () => {
  let server: KillablePostgres;
  before(async () => {
    server = await stepServer();
  });
  after(() => server[Symbol.asyncDispose]());

  test("wherever the power is cut while transactions of all kinds are written, whether the source had been told or not", async (t) => {
    await using world = await StepWorld.open(server, rows);
    world.begin();
    await world.caughtUp();
    let round = 1;
    let cuts = 0;
    const step = long ? 1 : 3;
    for (let operation = 1; ; operation += step, round++) {
      const before = world.disk.operations;
      // In every other round nothing that we say reaches the server.
      if (round % 2 === 0) world.proxy.mute();
      world.disk.cutAfter(before + operation);
      for (const transaction of history(round)) await world.sql(transaction);
      if (world.disk.isOff) cuts++;
      else {
        world.disk.cutAfter(Number.POSITIVE_INFINITY);
        await world.caughtUp();
        t.diagnostic(`a round takes ${world.disk.operations - before} operations of the disk; ${cuts} cuts`);
        break;
      }
      await world.cutPower();
      world.begin();
      await world.caughtUp();
      if (cuts % 8 === 0) await world.judge();
    }
    const verdict = await world.judge();
    t.diagnostic(JSON.stringify({ ...verdict, state: undefined }));
    assert.ok(cuts >= 5, `${cuts} cuts`);
    assert.equal(verdict.brokenSnapshots, 0);
  });

  test("wherever the power is cut while the snapshot is taken and changes go on", async (t) => {
    await using world = await StepWorld.open(server, rows);
    let cuts = 0;
    let broken = 0;
    const step = long ? 1 : 15;
    for (let operation = 1, round = 1; ; operation += step, round++) {
      const before = world.disk.operations;
      world.disk.cutAfter(before + operation);
      const source = world.begin();
      for (const transaction of history(round)) await world.sql(transaction);
      while (!world.disk.isOff && source.status().state.kind !== "streaming") {
        await new Promise((resolve) => setImmediate(resolve));
      }
      const whole = !world.disk.isOff;
      if (whole) world.disk.cutAfter(Number.POSITIVE_INFINITY);
      else {
        cuts++;
        await world.cutPower();
        world.begin();
      }
      await world.caughtUp();
      broken += (await world.judge()).brokenSnapshots;
      if (whole) break;
      await world.newLog();
    }
    t.diagnostic(`${cuts} cuts, ${broken} snapshots were broken off in the log`);
    assert.ok(cuts >= 3, `${cuts} cuts`);
  });

  test("wherever the connection is cut in the middle of the stream", async (t) => {
    await using world = await StepWorld.open(server, rows);
    world.begin();
    await world.caughtUp();
    const step = long ? 701 : 9_001;
    let cuts = 0;
    for (let bytes = 1, round = 1; bytes < 100_000; bytes += step, round++) {
      const { accepted } = world.proxy;
      world.proxy.cutAfter(bytes);
      for (const transaction of history(round)) await world.sql(transaction);
      await world.caughtUp();
      if (world.proxy.accepted > accepted) cuts++;
      world.proxy.cutAfter(Number.POSITIVE_INFINITY);
    }
    const verdict = await world.judge();
    t.diagnostic(JSON.stringify({ ...verdict, state: undefined, cuts }));
    assert.ok(cuts >= 5, `${cuts} cuts`);
    assert.equal(verdict.brokenSnapshots, 0);
  });

  test("after whichever statement the source is killed", async (t) => {
    await using world = await StepWorld.open(server, rows);
    world.begin();
    await world.caughtUp();
    let kills = 0;
    for (let transaction = 0; transaction < history(0).length; transaction++) {
      const statements = (history(1)[transaction] as string).split(";").length + 1;
      for (let statement = 0; statement <= statements; statement += long ? 1 : 2) {
        const round = ++kills;
        const all = history(round);
        for (const whole of all.slice(0, transaction)) await world.sql(whole);
        const client = await world.connect();
        const parts = ["begin", ...(all[transaction] as string).split(";"), "commit"];
        for (const part of parts.slice(0, statement)) await client.query(part);
        await server.kill();
        await server.start();
        await client.end().catch(() => {});
        await world.sql(`insert into noise values ('${round}')`);
        await world.caughtUp();
      }
    }
    const verdict = await world.judge();
    t.diagnostic(JSON.stringify({ ...verdict, state: undefined, kills }));
    assert.equal(verdict.brokenSnapshots, 0);
  });
});
