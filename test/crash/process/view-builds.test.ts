/**
 * Views that are built, or recomputed whole, while their tables change, and Millrace killed in the midst of it. Money is only moved, so that
 * in whatever state a view is read its balances come to nothing: a batch that a build had missed, or had twice, shows.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import pg from "pg";
import { systemClock } from "../../../src/base/clock.ts";
import { type Random, seededRandom } from "../../../src/base/random.ts";
import { testDatabase } from "../../support/postgres.ts";
import { eventually, type Program, runProgram } from "../../support/program.ts";

const long = process.env.MILLRACE_SOAK === "1";
const kills = long ? 40 : 3;
const accounts = long ? 200_000 : 30_000;
const owners = 500;
const script = ["src/cli/millrace.ts", "start", "test/crash/process/view-builds-app.ts"];

interface Total {
  readonly n: string;
  readonly balance: string;
}

interface Book {
  readonly owner: number;
  readonly balance: string;
}

interface Place extends Book {
  readonly place: string;
}

/** Moves money until it is told to stop: within an owner, between owners, and on to another owner with the account. */
async function move(client: pg.Client, random: Random, stopped: () => boolean): Promise<void> {
  while (!stopped()) {
    const [from, to, owner] = [random.below(accounts), random.below(accounts), random.below(owners)];
    await client.query("begin");
    await client.query("update accounts set balance = balance - $2 where id = $1", [from, 1 + random.below(100)]);
    await client.query(
      "update accounts set balance = -(select sum(balance) from accounts where id <> $1) where id = $1",
      [to],
    );
    await client.query("update accounts set owner = $2 where id = $1", [to, owner]);
    await client.query("commit");
  }
}

/** Null while it cannot be read. */
async function read<Row>(program: Program, view: string): Promise<readonly Row[] | null> {
  const response = await fetch(`${program.address}/v1/views/${view}?limit=10000`);
  return response.ok ? ((await response.json()) as Row[]) : null;
}

const sumOf = (rows: readonly { readonly balance: string }[]) =>
  rows.reduce((sum, { balance }) => sum + Number(balance), 0);

/** Of all owners, from the richest on, with what they have together behind. */
const placesOf = (rows: readonly Place[]) => [
  ...rows.map(({ place }) => Number(place)).sort((a, b) => a - b),
  sumOf(rows),
];
const everyPlace = [...Array.from({ length: owners }, (_, i) => i + 1), 0];

test("a view whose build is killed with kill -9, again and again, is whole and balanced whenever it can be read", async (t) => {
  const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const data = mkdtempSync(join(tmpdir(), "millrace-builds-"));
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  let stopped = false;
  let moving = Promise.resolve();
  const counts = { books: 0, total: 0, building: 0 };
  const start = (form: number): Promise<Program> =>
    runProgram({ script, data, env: { BANK_URL: database.url, BOOKS_FORM: String(form) } });
  /** Looks at what there is to read until the program is gone. */
  const look = async (program: Program): Promise<void> => {
    for (;;) {
      const reads = [
        read<Book>(program, "books"),
        read<Total>(program, "total"),
        read<Place>(program, "places"),
      ] as const;
      const found = await Promise.all(reads).catch(() => null);
      if (found === null) return;
      const [books, total, places] = found;
      assert.deepEqual(placesOf(places ?? []), everyPlace, program.words());
      if (books === null) counts.building++;
      else {
        counts.books++;
        assert.deepEqual({ owners: books.length, sum: sumOf(books) }, { owners, sum: 0 }, program.words());
      }
      assert.deepEqual(total, [{ n: String(accounts), balance: "0" }], program.words());
      counts.total++;
    }
  };
  try {
    await client.query("create table owners (id int primary key, name text)");
    await client.query("create table accounts (id int primary key, owner int not null, balance int not null)");
    await client.query(`insert into owners select i, 'owner ' || i from generate_series(0, ${owners - 1}) i`);
    await client.query(`insert into accounts select i, i % ${owners}, 0 from generate_series(0, ${accounts - 1}) i`);
    const first = await start(0);
    for (const view of ["books", "total", "places"]) {
      await eventually(async () => (await read(first, view)) ?? undefined);
    }
    await first.stop();
    moving = move(client, random, () => stopped);
    for (let kill = 1; kill <= kills; kill++) {
      const program = await start(kill % 4);
      try {
        const looking = look(program);
        await systemClock.sleep(random.below(2_500));
        await program.kill();
        await looking;
      } finally {
        await program.kill();
      }
    }
    stopped = true;
    await moving;
    t.diagnostic(JSON.stringify(counts));
    assert.ok(counts.total > kills);
    const last = await start(3);
    try {
      const { rows: wanted } = await client.query<{ owner: number; balance: string }>(
        "select owner, sum(balance)::text as balance from accounts group by owner order by owner",
      );
      await eventually(async () => {
        const found = await read<Book & { name?: string }>(last, "books");
        if (found?.[0]?.name === undefined) return undefined;
        const balances = found.map(({ owner, balance }) => ({ owner, balance })).sort((a, b) => a.owner - b.owner);
        return JSON.stringify(balances) === JSON.stringify(wanted) ? true : undefined;
      });
      assert.deepEqual(await read(last, "total"), [{ n: String(accounts), balance: "0" }]);
      // As old as it may be, and then with everything in it.
      await eventually(async () => {
        const found = (await read<Place>(last, "places")) ?? [];
        const balances = found.map(({ owner, balance }) => ({ owner, balance })).sort((a, b) => a.owner - b.owner);
        return JSON.stringify(balances) === JSON.stringify(wanted) ? true : undefined;
      });
    } finally {
      await last.stop();
    }
  } finally {
    stopped = true;
    await moving.catch(() => {});
    await client.end();
    rmSync(data, { recursive: true, force: true });
  }
});
