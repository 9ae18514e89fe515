import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import type { ErrorCode } from "../base/error-codes.ts";
import { MillraceError } from "../base/errors.ts";
import { systemRandom } from "../base/random.ts";
import { postgres, type SourceDefinition } from "../catalog/definitions.ts";
import { becomeOwner, unitOfSource } from "../ownership/become-owner.ts";
import { ProgressTable } from "../ownership/progress-table.ts";
import { LeftSources } from "./left-sources.ts";
import { openPostgresSource } from "./postgres.ts";
import { PostgresFixture, remembering } from "./postgres-fixture.ts";
import { Sources } from "./sources.ts";

const tables = "create table t (id int primary key); create table u (id int primary key)";

interface House {
  readonly sources: Sources;
  readonly said: readonly string[];
  apply(...definitions: readonly SourceDefinition[]): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

async function open(fixture: PostgresFixture): Promise<House> {
  const { engine } = fixture;
  const progress = await ProgressTable.open({ engine, clock: systemClock });
  const { diagnostics, said } = remembering();
  const left = new LeftSources({ engine, progress, clock: systemClock, diagnostics });
  const sources = new Sources((definition) => {
    const tools = { clock: systemClock, random: systemRandom, diagnostics: silentDiagnostics, disk: fixture.disk };
    return openPostgresSource({ ...tools, definition, engine, progress, mode: "start", spillDirectory: "/data/spill" });
  }, left);
  return {
    sources,
    said,
    async apply(...definitions) {
      await sources.apply(definitions, { release: false });
      for (const { name } of definitions) {
        while (sources.status(name)?.state.kind !== "streaming") await new Promise((resolve) => setImmediate(resolve));
      }
    },
    [Symbol.asyncDispose]: () => sources.stop({ release: false }),
  };
}

const slots = async (fixture: PostgresFixture) =>
  (await fixture.sql("select slot_name from pg_replication_slots where database = current_database()")).length;
const publications = async (fixture: PostgresFixture) => (await fixture.sql("select from pg_publication")).length;

test("a source that is taken out of the module is warned of and listed until its slot is dropped, which needs its address", async () => {
  await using fixture = await PostgresFixture.open(tables);
  const { url } = fixture.database;
  const old = postgres("old", { url, tables: ["t"] });
  {
    await using house = await open(fixture);
    await house.apply(old);
    assert.deepEqual(house.said, []);
  }
  await using house = await open(fixture);
  await house.apply();
  assert.match(
    house.said.join(),
    /source old is in the module no more, and slot millrace_old_\w+ .*sources remove old --drop-slot/,
  );
  assert.deepEqual(
    house.sources.list().map(({ name, state }) => [name, state.kind]),
    [["old", "left"]],
  );
  await assert.rejects(house.sources.hold("old", "removed", "drop"), (error) => {
    return MillraceError.is(error, "REQUEST_INVALID") && /--source postgres:\/\//.test(error.hint ?? "");
  });
  assert.equal(await slots(fixture), 1);
  assert.equal(await house.sources.hold("old", "removed", "drop", url), true);
  assert.deepEqual([await slots(fixture), await publications(fixture)], [0, 0]);
  assert.deepEqual(house.sources.list(), []);
  assert.equal(house.sources.status("old")?.state.kind, "removed");
  // It says so for good, and is told of no more.
  await using again = await open(fixture);
  await again.apply();
  assert.deepEqual([again.said, again.sources.list()], [[], []]);
  assert.equal(await again.sources.hold("nobody", "removed", "drop", url), false);
});

test("another source of the same database tells the address", async () => {
  await using fixture = await PostgresFixture.open(tables);
  const { url } = fixture.database;
  const [old, kept] = [postgres("old", { url, tables: ["t"] }), postgres("kept", { url, tables: ["u"] })];
  await using house = await open(fixture);
  await house.apply(old, kept);
  await house.apply(kept);
  assert.equal(house.said.length, 1);
  assert.equal(await house.sources.hold("old", "removed", "drop"), true);
  assert.deepEqual([await slots(fixture), await publications(fixture)], [1, 1]);
  assert.equal(house.sources.status("kept")?.state.kind, "streaming");
});

test("a server that is gone for good can be left alone; a source that is put back goes on where it was", async () => {
  await using fixture = await PostgresFixture.open(tables);
  const old = postgres("old", { url: fixture.database.url, tables: ["t"] });
  await using house = await open(fixture);
  await house.apply(old);
  await house.apply();
  await house.apply(old);
  assert.deepEqual(
    house.sources.list().map(({ state }) => state.kind),
    ["streaming"],
  );
  await house.apply();
  await house.sources.hold("old", "removed", "keep");
  assert.deepEqual(house.sources.list(), []);
  assert.equal(await slots(fixture), 1);
});

test("a slot is dropped at no server but its own, and stays listed while that does not answer", async () => {
  await using fixture = await PostgresFixture.open(tables);
  const { engine } = fixture;
  const { url } = fixture.database;
  {
    await using house = await open(fixture);
    await house.apply(postgres("old", { url, tables: ["t"] }));
  }
  const owner = await becomeOwner(engine, unitOfSource("old"));
  const transaction = owner.begin();
  await transaction.append(owner.progressBatch({ ...(owner.progress as object), systemId: "1" }));
  await transaction.commit();
  await using house = await open(fixture);
  await house.apply();
  const refused = async (code: ErrorCode, at: string) =>
    assert.rejects(house.sources.hold("old", "removed", "drop", at), (error) => MillraceError.is(error, code));
  await refused("SOURCE_REPLACED", url);
  await refused("SOURCE_UNREACHABLE", "postgres://u@127.0.0.1:1/x");
  assert.equal(house.sources.status("old")?.state.kind, "left");
  assert.equal(await slots(fixture), 1);
});
