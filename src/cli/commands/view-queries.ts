/** `views query` and `views url`: SQL with the shared role, here and from other tools. */
import type { Command } from "commander";
import { MillraceError } from "../../base/errors.ts";
import { mainGroup } from "../../catalog/definitions.ts";
import { csvLine } from "../../http/row-form.ts";
import { type RunningFile, readRunningFile } from "../../running-file.ts";
import type { StoreAddress } from "../../store/store.ts";
import type { QueryAnswer } from "../answers.ts";
import { apiOf, type CommandContext, printJson, settingsIn } from "../command.ts";
import { ElapsedTime } from "../elapsed-time.ts";
import { printNumber } from "../quantity.ts";
import { printable, printTable } from "../table.ts";

interface QueryOptions {
  readonly limit: string;
  readonly group?: string;
  readonly json?: true;
  readonly csv?: true;
}

export function viewQueryCommands(views: Command, context: CommandContext): void {
  const { terminal } = context;
  views
    .command("query <sql>")
    .description("run a read-only SQL statement on views and captured tables")
    .option("--limit <rows>", "how many rows at most", "1000")
    .option("--group <name>", "the group of views that it asks; main when left out")
    .option("--json", "as JSON")
    .option("--csv", "as CSV, with a line of names")
    .addHelpText("after", "\nExample:\n  $ millrace views query 'select * from views.order_cards limit 5'")
    .action(async (sql: string, options: QueryOptions) => {
      if (options.json && options.csv) throw new MillraceError("USAGE_INVALID", "--json and --csv exclude each other");
      const body = JSON.stringify({ sql, limit: wholeNumber(options.limit), group: options.group });
      const elapsed = new ElapsedTime(terminal, context.clock, "the query runs");
      const answer = await apiOf(context)
        .post("/v1/query", "application/json", body)
        .finally(() => elapsed.close());
      await printAnswer(context, answer as QueryAnswer, options);
    });
  views
    .command("url")
    .description("the address of the store for psql and other tools, with the shared role, which can only read")
    .option("--group <name>", "that of the store of a group of views; main when left out")
    .option("--json", "its parts as JSON")
    .addHelpText("after", '\nExample:\n  $ psql "$(millrace views url)"')
    .action(async ({ json, group = mainGroup }: { json?: true; group?: string }) => {
      const { dataDirectory } = settingsIn(context.directory);
      const running = await readRunningFile(dataDirectory);
      if (running === undefined) {
        throw new MillraceError("NOT_RUNNING", `no Millrace runs on ${dataDirectory}`, {
          hint: "The address has a password and is told on the machine that it runs on, in the folder of app.ts.",
        });
      }
      const store = storeOf(running, group);
      if (json) return printJson(terminal, store);
      terminal.print(storeUrl(store));
    });
}

function storeOf({ store, groupStores = {} }: RunningFile, group: string): StoreAddress {
  const found = group === mainGroup ? store : Object.hasOwn(groupStores, group) && groupStores[group];
  if (found) return found;
  throw new MillraceError("VIEW_GROUP_UNKNOWN", `no group of views ${JSON.stringify(group)} has a store here`, {
    hint: `There are ${[mainGroup, ...Object.keys(groupStores)].join(", ")}; one whose store was not reached since the start is not among them.`,
  });
}

/** A folder, which a Unix socket is in, does not fit into the place of a host. */
export function storeUrl({ host, port, database, user, password }: StoreAddress): string {
  const login = `${encodeURIComponent(user)}${password === "" ? "" : `:${encodeURIComponent(password)}`}`;
  const name = encodeURIComponent(database);
  if (host.startsWith("/")) return `postgres://${login}@/${name}?host=${encodeURIComponent(host)}&port=${port}`;
  return `postgres://${login}@${host.includes(":") ? `[${host}]` : host}:${port}/${name}`;
}

async function printAnswer(
  { terminal }: CommandContext,
  answer: QueryAnswer,
  { json, csv }: QueryOptions,
): Promise<void> {
  const { columns, rows, more } = answer;
  if (json) printJson(terminal, answer);
  else if (csv) {
    await terminal.write(csvLine(columns));
    for (const row of rows) await terminal.write(csvLine(row.map((value) => (value === null ? null : textOf(value)))));
  } else {
    printTable(
      terminal,
      columns.map((title) => ({ title })),
      rows.map((row) => row.map(cellOf)),
    );
    terminal.note(terminal.styleNote("dim", printNumber(rows.length, "row")));
  }
  if (more) terminal.note("There are more rows: --limit takes up to 10000, and a limit in the query says which.");
}

function cellOf(value: unknown): string {
  return value === null ? "null" : printable(textOf(value));
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function wholeNumber(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new MillraceError("USAGE_INVALID", `--limit is ${JSON.stringify(text)}, which is no whole number`);
}
