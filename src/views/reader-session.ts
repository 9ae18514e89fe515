/**
 * Connections for reads, in the session that the forms of rows rely on: UTC, ISO dates, hexadecimal bytes. An own
 * PostgreSQL may have other defaults.
 */
import type { Pool, PoolClient } from "pg";
import { readFailed } from "./reader-errors.ts";

const settings: Readonly<Record<string, string>> = {
  TimeZone: "UTC",
  DateStyle: "ISO, MDY",
  IntervalStyle: "postgres",
  bytea_output: "hex",
  extra_float_digits: "1",
  // Compiling a plan costs more than a page of rows.
  jit: "off",
};

const sessionSql = `select ${Object.entries(settings)
  .map(([name, value]) => `set_config('${name}', '${value}', false)`)
  .join(", ")}`;

const prepared = new WeakSet<PoolClient>();

/** Runs `work` with a connection of the pool. A connection on which anything failed outside the server is not used again. */
export async function withReader<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await acquireReader(pool);
  let broken = true;
  try {
    const result = await work(client);
    broken = false;
    return result;
  } catch (error) {
    broken = !(error instanceof Error && "severity" in error && error.severity === "ERROR");
    throw error;
  } finally {
    client.release(broken);
  }
}

/** Of a transaction, for `set_config(…, true)`. */
export type SettingValue = readonly [name: string, value: string];

/** Runs a statement; in a transaction of its own where it needs settings. */
export async function withSettings<T>(
  client: PoolClient,
  settings: readonly SettingValue[],
  work: () => Promise<T>,
): Promise<T> {
  if (settings.length === 0) return await work();
  await client.query("begin read only");
  try {
    await setLocally(client, settings);
    const result = await work();
    await client.query("commit");
    return result;
  } catch (error) {
    await client.query("rollback").catch(() => {});
    throw error;
  }
}

export async function setLocally(client: PoolClient, settings: readonly SettingValue[]): Promise<void> {
  for (const [name, value] of settings) await client.query("select set_config($1, $2, true)", [name, value]);
}

/** Throws `STORE_UNAVAILABLE`. The caller releases it. */
export async function acquireReader(pool: Pool): Promise<PoolClient> {
  let client: PoolClient;
  try {
    client = await pool.connect();
  } catch (error) {
    throw readFailed(error);
  }
  if (prepared.has(client)) return client;
  // The query that is running rejects as well; without a listener the event would end the process.
  client.on("error", () => {});
  try {
    await client.query(sessionSql);
  } catch (error) {
    client.release(true);
    throw readFailed(error);
  }
  prepared.add(client);
  return client;
}
