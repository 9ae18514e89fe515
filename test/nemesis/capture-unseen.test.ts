/**
 * Changes that PostgreSQL's stream says nothing of: rows that are rewritten, filled or printed otherwise by a change of
 * the table, a publication that somebody narrows for a while. Each leaves rows in the log that are not the source's,
 * unless they are noticed; a table read anew is the answer.
 */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { PostgresFixture } from "../../src/capture/postgres-fixture.ts";
import { Replay } from "../../src/capture/replay.fixture.ts";
import { comesToEqual } from "../../src/capture/replayed-table.fixture.ts";
import { soon } from "../../src/capture/source.suite.ts";
import { type DebianPostgres, debianBinaries, startDebianPostgres } from "../support/debian-postgres.ts";
import { databaseOn } from "../support/postgres.ts";

interface Unseen {
  readonly what: string;
  /** Beside `t (id int primary key, a text, b text)` with two rows; runs before the source is opened. */
  readonly before?: string;
  /** Each is a transaction; `$publication` stands for its name. */
  readonly statements: readonly string[];
}

const cases: readonly Unseen[] = [
  {
    what: "a column is dropped, and one of the same name and type added",
    statements: ["alter table t drop column b", "alter table t add column b text"],
  },
  {
    what: "a column takes the place and the name of another",
    statements: [
      "alter table t drop column a",
      "alter table t rename column b to a",
      "alter table t add column b text",
    ],
  },
  {
    what: "rows are rewritten by a change of type that changes no type",
    statements: ["alter table t alter column a type text using upper(a)"],
  },
  {
    what: "rows of a partitioned table are rewritten",
    before:
      "drop table t; create table t (id int primary key, a text, b text) partition by range (id); create table t1 partition of t default; insert into t values (1, 'one', 'x'), (2, 'two', 'y')",
    statements: ["alter table t alter column a type text using upper(a)"],
  },
  {
    what: "rows of a table without a key are rewritten",
    before: "alter table t drop constraint t_pkey; alter table t replica identity full",
    statements: ["alter table t alter column a type text using upper(a)"],
  },
  {
    what: "a column is added with a volatile default that is taken back at once",
    statements: ["alter table t add column x uuid default gen_random_uuid(); alter table t alter x drop default"],
  },
  {
    what: "a column is added with a default that is taken back, and the table packed",
    statements: ["alter table t add column x int default 3; alter table t alter x drop default", "vacuum full t"],
  },
  {
    what: "a column is added whose domain has a default",
    before: "create domain five as int default 5 check (value > 0)",
    statements: ["alter table t add column x five"],
  },
  {
    what: "a column is added and filled by a change of its type",
    statements: ["alter table t add column x int; alter table t alter x type int using 5"],
  },
  {
    what: "a generated column becomes an ordinary one",
    before: "alter table t add column g int generated always as (id * 2) stored",
    statements: ["alter table t alter column g drop expression"],
  },
  {
    what: "a label of an enum is renamed",
    before: "create type mood as enum ('good', 'bad'); alter table t add column m mood default 'good'",
    statements: ["alter type mood rename value 'good' to 'fine'"],
  },
  {
    what: "a label of an enum is renamed that lies in an array of a domain in a composite",
    before:
      "create type mood as enum ('good'); create domain moods as mood[]; create type feeling as (m moods); alter table t add column f feeling default row(array['good']::mood[]::moods)::feeling",
    statements: ["alter type mood rename value 'good' to 'fine'"],
  },
  {
    what: "an attribute is added to a composite type",
    before: "create type pair as (x int, y int); alter table t add column p pair default '(1,2)'",
    statements: ["alter type pair add attribute z int"],
  },
  {
    what: "the table leaves the publication for a while",
    statements: [
      "alter publication $publication drop table t",
      "insert into t values (100, 'unpublished', '')",
      "alter publication $publication add table only t",
    ],
  },
  {
    what: "the publication publishes no updates for a while",
    statements: [
      "alter publication $publication set (publish = 'insert, delete, truncate')",
      "update t set a = 'unpublished' where id = 1",
      "alter publication $publication set (publish = 'insert, update, delete, truncate')",
    ],
  },
  {
    what: "the publication has a row filter for a while",
    statements: [
      "alter publication $publication set table only t where (id < 50)",
      "insert into t values (100, 'filtered', '')",
      "alter publication $publication set table only t",
    ],
  },
  {
    what: "the table is dropped and made anew",
    statements: [
      "drop table t; create table t (id int primary key, a text, b text); insert into t values (1, 'new', '')",
    ],
  },
  {
    what: "the replica identity becomes full, and the default again",
    statements: [
      "alter table t replica identity full",
      "update t set id = 11 where id = 1",
      "alter table t replica identity default",
      "update t set id = 12 where id = 11",
    ],
  },
  {
    what: "the primary key moves to another column",
    before: "update t set b = id::text; alter table t alter b set not null",
    statements: [
      "alter table t drop constraint t_pkey; alter table t add primary key (b)",
      "update t set id = 5 where b = '1'",
    ],
  },
];

type Open = (sql: string) => Promise<PostgresFixture>;

const long = process.env.MILLRACE_SOAK === "1";

interface UnseenOptions {
  readonly skip: string | false;
  /** Which changes are made while nobody captures, and which while somebody does, in the everyday form; the long one makes each of them both ways. */
  readonly away: "even" | "odd";
}

function unseenSuite(name: string, open: Open, { skip, away: half }: UnseenOptions): void {
  describe(name, { skip }, () => {
    for (const [i, { what, before, statements }] of cases.entries()) {
      for (const away of long ? [false, true] : [(i % 2 === 0) === (half === "even")]) {
        test(`${what}, ${away ? "while nobody captures" : "live"}`, async () => {
          await using fixture = await open(
            `create table t (id int primary key, a text, b text); insert into t values (1, 'one', 'x'), (2, 'two', 'y'); ${before ?? ""}`,
          );
          const settings = { auditMs: 20, heartbeatMs: 20 };
          let source = fixture.source(["t"], { settings });
          await fixture.caughtUp(source);
          const publication = source.status().slot ?? "";
          if (away) await fixture.restart();
          for (const statement of statements) await run(fixture, statement.replace("$publication", publication));
          if (away) source = fixture.source(["t"], { settings });
          // The stream has something to tell as well: it must not tell it of rows that nobody has.
          await fixture.sql("update t set a = a || '!' where id = 2");
          await comesToEqual(fixture, source);
        });
      }
    }

    const harmless = [
      "vacuum full t",
      "alter table t alter a set not null",
      "alter table t add column x int",
      "alter type mood add value 'new' before 'good'",
      "truncate t",
      "vacuum freeze",
      "vacuum full pg_attribute",
      "grant select (a) on t to public; comment on column t.a is 'a'; create index on t (a); analyze t",
      "alter table t rename constraint t_pkey to other",
    ];
    for (const away of [false, true]) {
      test(`what concerns no rows reads no table again, ${away ? "while nobody captures" : "live"}`, async () => {
        await using fixture = await open(
          "create type mood as enum ('good', 'bad'); create table t (id int primary key, a text, m mood); insert into t values (1, 'one', 'good')",
        );
        const settings = { auditMs: 5, heartbeatMs: 20 };
        let source = fixture.source(["t"], { settings });
        await fixture.caughtUp(source);
        for (const statement of harmless) {
          if (away) await fixture.restart();
          await fixture.sql(statement);
          if (away) source = fixture.source(["t"], { settings });
          await fixture.sql("insert into t (id, a) select count(*) + 10, '' from t");
          await fixture.caughtUp(source);
          for (let i = 0; i < 20; i++) await soon();
        }
        const begun = (await fixture.events()).flatMap((event) => (event.status === "TABLE_BEGIN" ? event.reason : []));
        assert.deepEqual(begun, []);
      });
    }

    test("a table is rewritten between the slot and the snapshot that is read", async () => {
      await using fixture = await open(
        "create table t (id int primary key, a text); insert into t values (1, 'one'), (2, 'two')",
      );
      const client = await fixture.connect();
      // The server waits for its own slot, and is faster than whoever must connect first.
      const rewritten = client.query(`do $$ begin
      loop exit when exists (select from pg_replication_slots where database = current_database() and confirmed_flush_lsn is not null); end loop;
      execute 'alter table t alter column a type text using upper(a)'; end $$`);
      const source = fixture.source(["t"], { settings: { auditMs: 20, heartbeatMs: 20 } });
      await rewritten;
      await comesToEqual(fixture, source);
      const replay = new Replay(new Map([["shop.public.t", await fixture.read("shop.public.t")]]));
      for (const event of await fixture.events()) {
        replay.step(event);
        if (event.status === "SNAPSHOT_END") assert.equal(replay.rowsOf("shop.public.t")?.length, 2);
      }
    });

    test("a table is rewritten between the snapshot and its reading", async () => {
      await using fixture = await open(`
      create table big (id int primary key, v text); insert into big select i, repeat('v', 200) from generate_series(1, 150000) i;
      create table t (id int primary key, a text, b text); insert into t values (1, 'one', 'x'), (2, 'two', 'y')`);
      const settings = { auditMs: 20, heartbeatMs: 20, loadConnections: 1, chunkBytes: 64 * 1024 };
      const source = fixture.source(["big", "t"], { settings });
      for (let rows = 0; rows === 0; ) {
        const { state } = source.status();
        if (state.kind === "streaming") break;
        if (state.kind === "snapshotting") rows = state.rows;
        await new Promise((resolve) => setImmediate(resolve));
      }
      // Rows that a rewrite has moved are not visible to a snapshot from before it, so that it has to wait.
      await fixture.sql("alter table t alter column a type text using upper(a)");
      await comesToEqual(fixture, source);
    });

    test("a table with a deferrable key is not made unwritable for the source's own programs", {}, async () => {
      await using fixture = await open(
        "create table t (id int, v int, primary key (id) deferrable); insert into t values (1, 1), (2, 2)",
      );
      const source = fixture.source(["t"], { settings: { auditMs: 20, heartbeatMs: 20 } });
      while (!["streaming", "failed"].includes(source.status().state.kind)) await soon();
      await fixture.sql("update t set v = 3");
      await fixture.sql("update t set id = id + 1");
      if (source.status().state.kind === "streaming") await comesToEqual(fixture, source);
    });

    test("keys that change places in one statement, under replica identity full, end where they are in the source", {}, async () => {
      await using fixture = await open(
        "create table t (id int, v int, primary key (id) deferrable); alter table t replica identity full; insert into t select i, i from generate_series(1, 5) i",
      );
      const source = fixture.source(["t"], { settings: { auditMs: 20, heartbeatMs: 20 } });
      while (!["streaming", "failed"].includes(source.status().state.kind)) await soon();
      await fixture.sql("update t set id = id + 1");
      await fixture.sql("update t set id = 7 - id");
      if (source.status().state.kind === "streaming") await comesToEqual(fixture, source);
    });
  });
}

unseenSuite("what the stream says nothing of is noticed", (sql) => PostgresFixture.open(sql), {
  skip: false,
  away: "odd",
});

const debian = debianBinaries();
let server: Promise<DebianPostgres> | undefined;
unseenSuite(
  `what the stream of PostgreSQL ${debian?.version ?? ""} of the operating system says nothing of is noticed`,
  async (sql) => {
    server ??= startDebianPostgres({ fsync: "off", max_replication_slots: "40", max_wal_senders: "40" });
    return PostgresFixture.open(sql, await databaseOn((await server).url));
  },
  {
    skip: debian ? false : "skipped: no PostgreSQL below /usr/lib/postgresql (apt-get install postgresql)",
    away: "even",
  },
);
after(async () => (await server)?.stop());

/** Somebody who narrows a publication may meet Millrace, which puts it right again at the same moment. */
async function run(fixture: PostgresFixture, statement: string): Promise<void> {
  try {
    await fixture.sql(statement);
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (!statement.startsWith("alter publication") || (code !== "42710" && code !== "XX000")) throw error;
  }
}
