import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock } from "../base/virtual-clock.ts";
import { PostgresFixture } from "../capture/postgres-fixture.ts";
import { validatePayload } from "../schema/registry/payload.ts";
import { CapturedSchemas } from "./captured-schemas.ts";
import { liveVersions } from "./registry-decisions.ts";
import { SchemaRegistry } from "./schema-registry.ts";

test("captured tables have their schemas registered, a new version when a table changes, and their events fit them", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key, name text)");
  const { engine } = fixture;
  const registry = await SchemaRegistry.open({ engine, clock: new VirtualClock() });
  const captured = new CapturedSchemas({ registry });
  const source = fixture.source(["t"], { onTables: (tables) => captured.note(tables) });
  await fixture.sql("insert into t values (1, 'a')");
  await fixture.caughtUp(source);
  await captured.settled();
  const versions = (subject: string) => liveVersions(registry.state, subject);
  assert.deepEqual([versions("shop.public.t-value").length, versions("shop.public.t-key").length], [1, 1]);
  await fixture.sql("alter table t add column total numeric(10, 2)");
  await fixture.sql("insert into t values (2, 'b', 5.25)");
  await fixture.sql("update t set name = 'c' where id = 1");
  await fixture.sql("delete from t where id = 2");
  await fixture.caughtUp(source);
  await captured.settled();
  assert.equal(versions("shop.public.t-value").length, 2);
  assert.equal(versions("shop.public.t-key").length, 1);
  const newest = registry.parsed(versions("shop.public.t-value").at(-1)?.id ?? 0);
  const keys = registry.parsed(versions("shop.public.t-key").at(-1)?.id ?? 0);
  assert.ok(newest && keys);
  const records = await fixture.read("shop.public.t");
  assert.ok(records.length >= 4);
  for (const { key, value } of records) {
    if (value) assert.deepEqual(validatePayload(newest, value), [], String(value));
    if (key) assert.deepEqual(validatePayload(keys, key), [], String(key));
  }
  await registry.close();
});

test("a registry that takes nothing is told of, and keeps nothing waiting", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const { engine } = fixture;
  const registry = await SchemaRegistry.open({ engine, clock: new VirtualClock(), limits: { schemasMax: 0 } });
  const said: string[] = [];
  const diagnostics = { warn: (message: string) => said.push(message) } as never;
  const captured = new CapturedSchemas({ registry, diagnostics });
  const source = fixture.source(["t"], { onTables: (tables) => captured.note(tables) });
  await fixture.caughtUp(source);
  await captured.settled();
  assert.match(said[0] ?? "", /could not be registered/);
  await registry.close();
});
