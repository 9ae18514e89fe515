/** The workload, captured: by Millrace, and by Debezium where it can be run. */
import type pg from "pg";
import type { PostgresFixture } from "../../../src/capture/postgres-fixture.ts";
import type { EventText } from "./engine.ts";
import { startDebezium } from "./engine.ts";
import { capturedTables, changes, schema } from "./workload.ts";

const tables = capturedTables.map((table) => `public.${table}`).join(",");

/** On the server of the fixture. */
export async function captureWithMillrace(fixture: PostgresFixture): Promise<EventText[]> {
  const source = fixture.source([...capturedTables]);
  await fixture.caughtUp(source);
  await run(fixture.client);
  await fixture.caughtUp(source);
  return millraceEvents(fixture);
}

/** Both at the same time. */
export async function captureWithBoth(
  fixture: PostgresFixture,
): Promise<{ debezium: EventText[]; millrace: EventText[] }> {
  const source = fixture.source([...capturedTables]);
  await fixture.caughtUp(source);
  const debezium = startDebezium(fixture.database.url, fixture.database.name, { "table.include.list": tables });
  try {
    await debezium.until(({ value }) => value?.includes('"snapshot":"last"') ?? false);
    await run(fixture.client);
    // Its END comes with the next transaction at the latest.
    await debezium.until(
      ({ topic, value }) => topic === "shop.transaction" && (value?.includes('"public.ending"') ?? false),
    );
    await fixture.caughtUp(source);
    return { debezium: [...debezium.events], millrace: await millraceEvents(fixture) };
  } finally {
    await debezium.stop();
  }
}

export async function openWorkload(fixture: PostgresFixture): Promise<void> {
  await fixture.sql(schema);
}

async function run(client: pg.Client): Promise<void> {
  for (const sql of changes) await client.query(sql);
}

async function millraceEvents(fixture: PostgresFixture): Promise<EventText[]> {
  const events: EventText[] = [];
  for (const topic of [...capturedTables.map((table) => `shop.public.${table}`), "shop.message", "shop.transaction"]) {
    for (const { key, value, headers } of await fixture.read(topic)) {
      events.push({
        topic,
        key: key === null ? null : String(key),
        value: value === null ? null : String(value),
        headers: headers.map((header) => ({
          key: header.key,
          value: header.value === null ? null : String(header.value),
        })),
      });
    }
  }
  return events;
}
