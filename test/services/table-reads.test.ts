/** Tables that are read while the stream goes on, and filtered ones, on the system's PostgreSQL. */
import { after } from "node:test";
import { PostgresFixture } from "../../src/capture/postgres-fixture.ts";
import { filtersSuite } from "../../src/capture/snapshot/filters.suite.ts";
import { readsSuite } from "../../src/capture/snapshot/reads.suite.ts";
import { type DebianPostgres, debianBinaries, startDebianPostgres } from "../support/debian-postgres.ts";
import { databaseOn } from "../support/postgres.ts";

const found = debianBinaries();
const missing = found ? false : "skipped: no PostgreSQL below /usr/lib/postgresql (apt-get install postgresql)";

let server: Promise<DebianPostgres> | undefined;

async function open(sql: string): Promise<PostgresFixture> {
  server ??= startDebianPostgres({ fsync: "off", max_replication_slots: "40", max_wal_senders: "40" });
  return PostgresFixture.open(sql, await databaseOn((await server).url));
}

const short = process.env.MILLRACE_SOAK === "1" ? false : "skipped: the long form only (npm run test:soak)";
readsSuite("tables that are read while the stream goes on, on the system's PostgreSQL", open, missing || short);
filtersSuite("columns and conditions, on the system's PostgreSQL", open, missing);

after(async () => (await server)?.stop());
