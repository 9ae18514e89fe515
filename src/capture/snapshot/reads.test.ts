import { PostgresFixture } from "../postgres-fixture.ts";
import { readsSuite } from "./reads.suite.ts";

readsSuite("tables that are read while the stream goes on", (sql) => PostgresFixture.open(sql));
