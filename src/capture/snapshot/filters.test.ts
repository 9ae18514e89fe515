import { PostgresFixture } from "../postgres-fixture.ts";
import { filtersSuite } from "./filters.suite.ts";

filtersSuite("columns and conditions of captured tables", (sql) => PostgresFixture.open(sql));
