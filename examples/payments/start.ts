/**
 * Millrace in development on the payments' definitions, with the vendor, the books in the embedded server, and the ledger
 * that fills them. `PAYMENTS_RATE` is the vendor's changes a second (5); after `PAYMENTS_MAX` of them it rests.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { printFailure } from "../../src/cli/failure.ts";
import { inProcess } from "../../src/cli/main.ts";
import { runProgram } from "../../src/cli/run.ts";
import type { Store } from "../../src/store/store.ts";
import { keepBooks } from "./ledger.ts";
import { Vendor } from "./vendor.ts";

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

const secret = "whsec_of_the_example";
const key = "key_of_the_example";
const changesMax = process.env.PAYMENTS_MAX === undefined ? null : Number(process.env.PAYMENTS_MAX);
const vendor = new Vendor({ secret, key, rate: Number(process.env.PAYMENTS_RATE ?? 5), changesMax });

await inProcess(async (context) => {
  try {
    process.env.PAYMENTS_API = await vendor.open();
    process.env.PAYMENTS_KEY = key;
    process.env.PAYMENTS_SECRET = secret;
    await runProgram(
      {
        module: here("app.ts"),
        mode: "dev",
        baseDirectory: here("."),
        prepare: openBooks,
        onRunning({ addresses }) {
          context.terminal.print(`  vendor            ${process.env.PAYMENTS_API}`);
          context.terminal.print(`  books (psql)      ${process.env.BOOKS_URL}`);
          const end = new AbortController();
          const books = keepBooks({
            url: process.env.BOOKS_URL ?? "",
            address: addresses.http,
            signal: end.signal,
          });
          vendor.trade(`${addresses.http}/v1/hooks/payments`);
          return async () => {
            end.abort();
            await books;
          };
        },
      },
      context,
    );
    return 0;
  } catch (error) {
    return printFailure(context.terminal, error);
  } finally {
    await vendor.close();
  }
});

/** The books and their role, made on the first start. */
async function openBooks(store: Store): Promise<void> {
  if (!store.createDatabase) throw new Error("the example needs the embedded store: unset MILLRACE_STORE");
  const books = await store.createDatabase({ name: "books", role: "books", password: "books" });
  process.env.BOOKS_URL = `postgres://books:books@${books.host}:${books.port}/books`;
  const client = new pg.Client({ connectionString: process.env.BOOKS_URL });
  await client.connect();
  try {
    const { rows } = await client.query("select to_regclass('payments') is null as empty");
    if (rows[0].empty) await client.query(`begin; ${readFileSync(here("schema.sql"), "utf8")}; commit`);
  } finally {
    await client.end();
  }
}
