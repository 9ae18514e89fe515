/** Every type on the system's PostgreSQL, with the extensions that it has: contrib's, PostGIS, pgvector. */
import { test } from "node:test";
import { checkEveryType } from "../../src/capture/every-type.suite.ts";
import { PostgresFixture } from "../../src/capture/postgres-fixture.ts";
import { ownTypes } from "../../src/capture/type-samples.fixture.ts";
import { debianBinaries, startDebianPostgres } from "../support/debian-postgres.ts";

const skip = debianBinaries() ? false : "skipped: no PostgreSQL below /usr/lib/postgresql (apt-get install postgresql)";

for (const encoding of ["json", "avro"] as const) {
  test(`for every type the value of a snapshot, of the stream, of a mirror and of the server are one, byte for byte (${encoding})`, {
    skip,
  }, async (t) => {
    const server = await startDebianPostgres();
    try {
      const database = { name: "postgres", url: server.url, [Symbol.asyncDispose]: async () => {} };
      await using fixture = await PostgresFixture.open(ownTypes, database);
      fixture.encoding = encoding;
      await checkEveryType(fixture, t);
    } finally {
      await server.stop();
    }
  });
}
