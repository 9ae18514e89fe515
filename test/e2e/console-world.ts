/** For tests of the console: a browser, and the program with many tables, a source of webhooks and schemas. */
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { type Browser, chromium, type Page } from "playwright-core";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { eventually, type Program, runProgram } from "../support/program.ts";

const root = new URL("../../", import.meta.url).pathname;
const secret = "a secret of the tests";
export const manyTables = 120;
export const longTable = "a_table_whose_name_is_as_long_as_the_server_lets_it_be_in_all_o";

export function openBrowser(executablePath: string): Promise<Browser> {
  return chromium.launch({
    executablePath,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** How far the page is wider than the window, in pixels. */
export function excessWidth(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}

export class ConsoleWorld {
  readonly database: TestDatabase;
  readonly program: Program;
  readonly client: pg.Client;
  readonly #folder: string;

  private constructor(database: TestDatabase, program: Program, client: pg.Client, folder: string) {
    this.database = database;
    this.program = program;
    this.client = client;
    this.#folder = folder;
  }

  /** `shop` with three tables and a view, `big` with hundreds of tables, `vendor` with webhooks, all of them running. */
  static async open(): Promise<ConsoleWorld> {
    const database = await testDatabase();
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    const many = Array.from({ length: manyTables }, (_, i) => `t_${String(i).padStart(3, "0")}`);
    await client.query(
      `create table orders (id int primary key, note text); insert into orders select i, 'n' || i from generate_series(1, 500) i;
       create table customers (id int primary key); create table ${longTable} (id int primary key);
       create schema big; analyze`,
    );
    await client.query(many.map((name) => `create table big.${name} (id int primary key, note text)`).join(";"));
    const folder = mkdtempSync(join(tmpdir(), "millrace-console-"));
    writeFileSync(
      join(folder, "app.ts"),
      `import { hmacSignature, postgres, sql, view, webhook } from ${JSON.stringify(join(root, "src/index.ts"))};
const url = process.env.SHOP_URL ?? "";
export const shop = postgres("shop", { url, tables: ["orders", "customers", "${longTable}"], walHeldBytesMax: "10GB" });
export const big = postgres("big", { url, tables: ${JSON.stringify(many.map((name) => `big.${name}`))} });
export const vendor = webhook("vendor", {
  verify: hmacSignature({ header: "x-signature", secret: ${JSON.stringify(secret)} }),
  id: (event) => event.id,
});
export const notes = view("order_notes", sql\`select id, note from \${shop.orders}\`, { key: "id", publish: "order-notes" });\n`,
    );
    const program = await runProgram({
      script: ["src/cli/millrace.ts", "start", join(folder, "app.ts")],
      env: { SHOP_URL: database.url },
      data: join(folder, "data"),
    });
    const world = new ConsoleWorld(database, program, client, folder);
    await eventually(async () => ((await world.stateOf("shop")) === "streaming" ? true : undefined));
    await eventually(async () => ((await world.stateOf("big")) === "streaming" ? true : undefined));
    return world;
  }

  async stateOf(source: string): Promise<string> {
    const answer = await fetch(`${this.program.address}/v1/sources/${source}`);
    return ((await answer.json()) as { state: { kind: string } }).state.kind;
  }

  /** Resolves to the status that the caller got. */
  async hook(body: object, signedWith = secret): Promise<number> {
    const text = JSON.stringify(body);
    const signature = createHmac("sha256", signedWith).update(text).digest("hex");
    const headers = { "content-type": "application/json", "x-signature": signature };
    const answer = await fetch(`${this.program.address}/v1/hooks/vendor`, { method: "POST", headers, body: text });
    return answer.status;
  }

  async register(subject: string, schema: object, more: object = {}): Promise<void> {
    const path = `/registry/subjects/${encodeURIComponent(subject)}/versions`;
    const answer = await fetch(this.program.address + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ schema: JSON.stringify(schema), ...more }),
    });
    if (!answer.ok) throw new Error(await answer.text());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    await this.client.end();
    await this.database[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
