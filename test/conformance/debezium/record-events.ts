/**
 * Runs a real Debezium over the workload and writes what it told, for the tests that have no Debezium:
 * `node -C source test/conformance/debezium/record-events.ts`. To be run when the workload or Debezium's version changes.
 */
import { writeFileSync } from "node:fs";
import { PostgresFixture } from "../../../src/capture/postgres-fixture.ts";
import { debeziumMissing, installDebeziumParts } from "../../../tools/debezium-parts.ts";
import { captureWithBoth, openWorkload } from "./capture.ts";
import { recordedEvents } from "./recorded.ts";

installDebeziumParts();
const missing = debeziumMissing();
if (missing !== undefined) throw new Error(missing);
await using fixture = await PostgresFixture.open();
await openWorkload(fixture);
const { debezium } = await captureWithBoth(fixture);
writeFileSync(recordedEvents, `${debezium.map((event) => JSON.stringify(event)).join("\n")}\n`);
console.log(`${debezium.length} events in ${recordedEvents}`);
