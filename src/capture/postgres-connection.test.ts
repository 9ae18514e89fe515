import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { CuttingProxy } from "../../test/support/cutting-proxy.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { failure, PostgresFixture, remembering, until } from "./postgres-fixture.ts";
import { soon } from "./source.suite.ts";
import type { Source } from "./source.ts";

/** Time goes by so many times faster; the wall clock stays. */
function hasty(times: number): Clock {
  return {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() * times,
    after: (delayMs, fn) => systemClock.after(delayMs / times, fn),
    sleep: (delayMs, signal) => systemClock.sleep(delayMs / times, signal),
  };
}

async function proxied(fixture: PostgresFixture): Promise<CuttingProxy & AsyncDisposable> {
  const { hostname, port } = new URL(fixture.database.url);
  const proxy = await CuttingProxy.listen({ target: { host: hostname, port: Number(port) }, clock: systemClock });
  return Object.assign(proxy, { [Symbol.asyncDispose]: () => proxy.close() });
}

const streams = async (source: Source) => until(source, (state) => state === "streaming");

test("connections that are cut are made again, and each change is captured once", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key, v text)");
  await using proxy = await proxied(fixture);
  const source = fixture.source(["t"], { url: proxy.url(fixture.database.url) });
  await fixture.caughtUp(source);
  for (let id = 0; id < 12; id++) {
    if (id % 3 === 0) proxy.cut();
    if (id % 3 === 1) proxy.cutAfter(40 + 37 * id);
    await fixture.sql("insert into t values ($1, repeat('v', 500))", [id]);
  }
  while ((await fixture.values("shop.public.t")).length < 12) await soon();
  await fixture.caughtUp(source);
  const ids = (await fixture.values("shop.public.t")).map((value) => value.after?.id);
  assert.deepEqual(ids, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
});

for (const fault of ["halfOpen", "mute"] as const) {
  test(`a connection that both ends believe in, and that carries nothing any more (${fault}), is given up and made again`, async () => {
    await using fixture = await PostgresFixture.open("create table t (id int primary key)");
    await using proxy = await proxied(fixture);
    const { diagnostics, said } = remembering();
    const url = proxy.url(fixture.database.url);
    const source = fixture.source(["t"], { url, clock: hasty(200), diagnostics });
    await fixture.caughtUp(source);
    proxy[fault]();
    await fixture.sql("insert into t values (1)");
    while (!said.some((line) => line.includes("SOURCE_SILENT"))) await soon();
    await streams(source);
    await fixture.sql("insert into t values (2)");
    while ((await fixture.values("shop.public.t")).length < 2) await soon();
    const ids = (await fixture.values("shop.public.t")).map((value) => value.after?.id);
    assert.deepEqual(ids, [1, 2]);
  });
}

test("a stream that carries nothing any more is given up, although the source answers whatever else it is asked", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  await fixture.sql(`alter database ${fixture.database.name} set wal_sender_timeout = '5s'`);
  await using proxy = await proxied(fixture);
  const { diagnostics, said } = remembering();
  const url = proxy.url(fixture.database.url);
  // Silence is long soon; answers have their time.
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() * 8 };
  const source = fixture.source(["t"], { url, clock, careMs: 200, diagnostics });
  await fixture.caughtUp(source);
  const [stream] = await fixture.sql(
    "select a.client_port::int as port from pg_replication_slots s join pg_stat_activity a on a.pid = s.active_pid where s.slot_name = $1",
    [source.status().slot],
  );
  const before = said.length;
  proxy.halfOpen(stream?.port as number);
  await fixture.sql("insert into t values (1)");
  while (!said.slice(before).some((line) => /the stream of source .* has been silent/.test(line))) await soon();
  while ((await fixture.values("shop.public.t")).length < 1) await soon();
});

test("a server that refuses is tried again, with pauses that grow and differ", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const pauses: number[] = [];
  let next = 0;
  const random = { next: () => [0, 0.99, 0.5][next++ % 3] as number };
  const clock: Clock = {
    ...systemClock,
    sleep: async (delayMs, signal) => {
      pauses.push(delayMs);
      if (pauses.length > 9) await systemClock.sleep(1e6, signal);
    },
  };
  const url = "postgres://postgres@127.0.0.1:1/x";
  const source = fixture.source(["t"], { url, clock, random: Object.assign(Object.create(null), random) });
  while (pauses.length < 10) await soon();
  await source.stop();
  const expected = [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000];
  pauses.forEach((pauseMs, i) => {
    const most = expected[i] ?? 0;
    assert.ok(pauseMs >= most / 2 && pauseMs <= most, `${pauseMs} of ${most}`);
  });
  assert.equal(new Set(pauses.slice(6)).size > 1, true);
});

test("a password is printed nowhere, in whatever form the address has it and whatever goes wrong", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const password = `hunter2 ${randomBytes(6).toString("hex")}`;
  const role = `role_${randomBytes(5).toString("hex")}`;
  await fixture.sql(`create role ${role} login replication password '${password}'`);
  await fixture.sql(`grant select on t to ${role}; grant create on database ${fixture.database.name} to ${role}`);
  const encoded = encodeURIComponent(password);
  const everyCharacter = [...password].map((c) => `%${c.charCodeAt(0).toString(16).padStart(2, "0")}`).join("");
  const { host, pathname } = new URL(fixture.database.url);
  const urls = [
    ...[encoded, everyCharacter].map((form) => `postgres://${role}:${form}@${host}${pathname}`),
    `postgres://${role}@${host}${pathname}?password=${encoded}`,
    // What cannot work: no such role, no such database, no server, no address, no TLS, a pooler.
    `postgres://nobody:${encoded}@${host}${pathname}`,
    `postgres://${role}:${encoded}@${host}/nowhere`,
    `postgres://${role}:${encoded}@127.0.0.1:1/x`,
    `postgres://${role}:${encoded}@127.0.0.1:port/x`,
    `postgres://${role}:${encoded}@${host}${pathname}?sslmode=require`,
    `postgres://${role}:${encoded}@${host}${pathname}?sslmode=verify-full&sslrootcert=/nowhere`,
    `postgres://${role}:${encoded}@${host}${pathname}?sslmode=wrong`,
    `postgres://${role}:${encoded}@x-pooler.example.com/x`,
  ];
  const told: string[] = [];
  try {
    for (const url of urls) {
      const { diagnostics, said } = remembering();
      const source = fixture.source(["t"], { url, diagnostics, careMs: 5 });
      await until(source, (state) => state !== "connecting" && state !== "snapshotting");
      const { state } = source.status();
      const error = "error" in state ? state.error : undefined;
      told.push(JSON.stringify(source.status()), ...said, String(error?.stack), everythingOf(error));
      await source.stop({ release: true });
      told.push(JSON.stringify(source.status()), ...said);
    }
    const [works] = [told.filter((line) => line.includes('"kind":"streaming"')).length];
    assert.equal(works, 0, "the role does not own the table: it is told so");
    for (const line of told) {
      for (const form of [password, encoded, everyCharacter, password.slice(8)]) {
        assert.ok(!line.includes(form), line);
      }
    }
    assert.ok(told.some((line) => line.includes("SOURCE_TLS")));
  } finally {
    await fixture.sql(`drop owned by ${role}; drop role ${role}`);
  }
});

/** With what a serializer would find: causes, details, properties that do not show. */
function everythingOf(error: unknown, depth = 0): string {
  if (typeof error !== "object" || error === null || depth > 5) return String(error);
  return Object.getOwnPropertyNames(error)
    .map((name) => `${name}: ${everythingOf((error as Record<string, unknown>)[name], depth + 1)}`)
    .join("\n");
}

test("an address that asks for TLS of a server without it is refused with what to do", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const error = await failure(fixture.source(["t"], { url: `${fixture.database.url}?sslmode=require` }));
  assert.equal(error.code, "SOURCE_TLS");
  assert.equal(error.action, "fix-setup");
  assert.match(error.hint ?? "", /sslmode/);
  for (const mode of ["disable", "allow", "prefer"]) {
    const source = fixture.source(["t"], { url: `${fixture.database.url}?sslmode=${mode}` });
    await fixture.caughtUp(source);
    await source.stop();
  }
});
