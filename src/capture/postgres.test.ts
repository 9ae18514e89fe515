import { parseLsn } from "./lsn.ts";
import { PostgresFixture } from "./postgres-fixture.ts";
import { type SourceWorld, type Step, sourceSuite } from "./source.suite.ts";

const tables = `
  create table things (id bigint primary key, name text);
  create table others (id bigint primary key, name text)`;

function sqlOf(step: Step): string {
  if (step.kind === "empty") return `truncate ${step.table}`;
  if (step.kind === "remove") return `delete from ${step.table} where id = ${step.id}`;
  return `insert into ${step.table} values (${step.id}, '${step.name}') on conflict (id) do update set name = excluded.name`;
}

async function openWorld(): Promise<SourceWorld> {
  const fixture = await PostgresFixture.open(tables);
  const slot = "select confirmed_flush_lsn::text as lsn from pg_replication_slots where database = current_database()";
  return {
    async change(...steps) {
      await fixture.sql(`begin; ${steps.map(sqlOf).join("; ")}; commit`);
    },
    open: async () => fixture.source(["things", "others"]),
    cutOff: () => fixture.cutPower(),
    read: (topic) => fixture.read(topic === "transaction" ? "shop.transaction" : `shop.public.${topic}`),
    topicName: (topic) => `shop.public.${topic}`,
    confirmed: async () => ((await fixture.sql(slot))[0]?.lsn as string | undefined) ?? null,
    end: async () => (await fixture.sql("select pg_current_wal_lsn()::text as lsn"))[0]?.lsn as string,
    held: async () => (await fixture.sql(slot)).length > 0,
    compare: (a, b) => parseLsn(a) - parseLsn(b),
    dispose: () => fixture[Symbol.asyncDispose](),
  };
}

sourceSuite("PostgreSQL as a source", openWorld);
