/**
 * `npm start`: Millrace in development on the shop's definitions, with the shop's own database in the embedded server
 * and customers who order. `SHOP_RATE` is their transactions per second (5), `SHOP_ORDERS_MAX` where the shop stops
 * growing (5000).
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { printFailure } from "../../src/cli/failure.ts";
import { inProcess } from "../../src/cli/main.ts";
import { runProgram } from "../../src/cli/run.ts";
import type { Store } from "../../src/store/store.ts";
import { simulate } from "./simulator.ts";

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

await inProcess(async (context) => {
  try {
    await runProgram(
      {
        module: here("app.ts"),
        mode: "dev",
        baseDirectory: here("../.."),
        prepare: openShop,
        onRunning() {
          const customers = new AbortController();
          context.terminal.print(`  shop (psql)       ${process.env.SHOP_URL}`);
          const trading = simulate({
            url: process.env.SHOP_URL ?? "",
            rate: positive("SHOP_RATE", 5),
            ordersMax: positive("SHOP_ORDERS_MAX", 5_000),
            signal: customers.signal,
          });
          return async () => {
            customers.abort();
            await trading;
          };
        },
      },
      context,
    );
    return 0;
  } catch (error) {
    return printFailure(context.terminal, error);
  }
});

/** The shop's database and role, made on the first start. A shop elsewhere is named by SHOP_URL. */
async function openShop(store: Store): Promise<void> {
  if (process.env.SHOP_URL) return;
  if (!store.createDatabase) {
    throw new Error("the shop needs the embedded store; with MILLRACE_STORE set, name the shop's database in SHOP_URL");
  }
  const shop = await store.createDatabase({ name: "shop", role: "shop", password: "shop" });
  process.env.SHOP_URL = `postgres://shop:shop@${shop.host}:${shop.port}/shop`;
  const client = new pg.Client({ connectionString: process.env.SHOP_URL });
  await client.connect();
  try {
    const { rows } = await client.query("select to_regclass('orders') is null as empty");
    if (rows[0].empty) await client.query(`begin; ${readFileSync(here("schema.sql"), "utf8")}; commit`);
  } finally {
    await client.end();
  }
}

function positive(name: string, otherwise: number): number {
  const value = Number(process.env[name] ?? otherwise);
  return value > 0 && Number.isFinite(value) ? value : otherwise;
}
