/**
 * A store whose disk becomes full under its views, and gets space later: nothing wrong is ever read, nobody else is
 * stopped, and the views go on by themselves.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import type pg from "pg";
import { systemClock } from "../../src/base/clock.ts";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import type { MillraceError } from "../../src/base/errors.ts";
import { systemRandom } from "../../src/base/random.ts";
import { group, sql, view } from "../../src/catalog/definitions.ts";
import { openStore } from "../../src/store/store.ts";
import type { Groups } from "../../src/views/groups.ts";
import { GroupsFixture, isLive, rowsOf, untilGroups } from "../../src/views/groups-fixture.ts";
import { tableShape } from "../../src/views/source-fixture.ts";
import { type TestFolder, testFolder, testPrograms } from "../support/postgres.ts";

const notes = tableShape("shop", "notes", ["id integer", "author integer", "text text"]);
const reports = group("reports");
const views = [
  view("short", sql`select id, author from shop.notes`),
  view("texts", sql`select id, author, text from shop.notes`, { group: reports }),
  view("authors", sql`select author, count(*) as n, sum(length(text)) as letters from shop.notes group by author`, {
    group: reports,
  }),
];

const smallMiB = 144;
let folder: TestFolder;
let missing: string | null = null;

before(async () => {
  folder = await testFolder();
  missing = mountFailure(folder.path);
});
after(async () => {
  if (missing === null) execFileSync("umount", ["-l", folder.path]);
  await folder[Symbol.asyncDispose]();
});

function mountFailure(path: string): string | null {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${smallMiB}m,mode=0777`, "millrace-test", path], {
      stdio: "pipe",
    });
    return null;
  } catch (error) {
    return `skipped: no file system of its own can be mounted (${(error as Error).message.split("\n")[1] ?? "mount"})`;
  }
}

describe("a store whose disk is full", () => {
  test("waits for space, shows whole states only, and goes on by itself", async (t) => {
    if (missing !== null) return t.skip(missing);
    await using fixture = await GroupsFixture.open();
    const shop = await fixture.source("shop", [notes]);
    await shop.snapshot([{ table: notes, insert: ["1", "1", "first"] }]);
    const parts = { clock: systemClock, random: systemRandom, diagnostics: silentDiagnostics };
    const place = { url: null, dataDirectory: folder.path, port: 0, portRequired: false };
    const binDirectory = await testPrograms();
    const groups = await fixture.groups([reports, ...views], {
      openStore: () => openStore({ ...parts, ...place, binDirectory }),
    });
    await untilGroups(groups, () => isLive(groups, "short", "texts", "authors"));

    const conditions = () => groups.status().map(({ condition }) => condition.kind);
    const text = () => randomBytes(40_000).toString("hex");
    let id = 1;
    const write = () => {
      const inserts = Array.from({ length: 10 }, () => [String(++id), String(id % 7), text()]);
      return shop.commit(...inserts.map((insert) => ({ table: notes, insert })));
    };
    const codes = new Set<string>();
    for (let full = 0; full < 5; ) {
      await write();
      await fixture.settled(groups, "short");
      const [, status] = groups.status();
      if (status?.condition.kind === "waiting") {
        full++;
        codes.add(status.condition.error.code);
      }
      assert.ok(id < 4_000, "the disk should be full by now");
      await assertWhole(groups);
      await rowsOf(groups, "authors").catch(({ code }: MillraceError) => codes.add(code));
    }
    for (const code of codes) assert.match(code, /^STORE_(DISK_FULL|UNAVAILABLE)$/);
    assert.equal(conditions()[0], "running");

    execFileSync("mount", ["-o", `remount,size=${smallMiB * 20}m`, folder.path]);
    await untilGroups(groups, () => conditions().every((kind) => kind === "running"));
    await write();
    await fixture.settled(groups, "short", "texts", "authors");
    assert.equal((await rowsOf(groups, "texts")).length, id);
    await assertWhole(groups);
  });
});

/** What can be read is one state of both views. */
async function assertWhole(groups: Groups): Promise<void> {
  let client: pg.Client;
  try {
    client = await groups.connect("a look at all", "texts");
  } catch {
    return;
  }
  client.on("error", () => {});
  try {
    const { rows } = await client.query<{ wrong: string }>(
      `select count(*)::text as wrong from views.authors a full join
         (select author, count(*) as n, sum(length(text)) as letters from views.texts group by author) q using (author, n, letters)
       where a.author is null or q.author is null`,
    );
    assert.equal(rows[0]?.wrong, "0");
  } catch (error) {
    // Of the server's own trouble nothing is said here.
    if (!(error instanceof Error) || error instanceof assert.AssertionError) throw error;
  } finally {
    await client.end().catch(() => {});
  }
}
