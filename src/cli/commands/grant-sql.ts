import { join, resolve } from "node:path";
import type { Command } from "commander";
import { MillraceError } from "../../base/errors.ts";
import { realDisk } from "../../base/real-disk.ts";
import { grantSql } from "../../capture/grant-sql.ts";
import { type PostgresDefinition, postgres } from "../../catalog/definitions.ts";
import { TopicCatalogue } from "../../log/topic-catalogue.ts";
import { apiOf, type CommandContext, settingsIn } from "../command.ts";
import { loadDefinitions } from "../load-module.ts";
import { knownTables, spelledOut } from "../source-look.ts";

interface GrantOptions {
  readonly source?: string;
  readonly name?: string;
  readonly tables?: string;
  readonly role?: string;
}

export function grantSqlCommand(sources: Command, context: CommandContext): void {
  sources
    .command("grant-sql [app.ts]")
    .description("print the SQL that gives a source's role what it needs, for an administrator to run")
    .option("--source <url>", "for this database, in place of the sources of app.ts")
    .option("--name <name>", "with --source: what the source is called")
    .option("--tables <tables>", "with --source: the tables, with commas between")
    .option("--role <role>", "another role than the address names")
    .addHelpText(
      "after",
      "\nChanges nothing, and prints no password.\n\nExamples:\n  $ millrace sources grant-sql | psql -d shop\n  $ millrace sources grant-sql --source postgres://millrace@db/shop --name shop --tables orders,audit.events",
    )
    .action(async (file: string | undefined, options: GrantOptions) => {
      const logId = await logIdOf(context);
      for (const definition of await definitionsOf(file, options, context)) {
        const { username, pathname } = new URL(definition.url);
        const role = options.role ?? decodeURIComponent(username);
        const database = decodeURIComponent(pathname.slice(1));
        if (role === "" || database === "") {
          throw new MillraceError(
            "USAGE_INVALID",
            `the address of source "${definition.name}" names no role or no database`,
            {
              hint: "Write postgres://role@host/database, or give --role.",
            },
          );
        }
        const spelled = await spelledOut(definition);
        const known = await knownTables(spelled);
        context.terminal.print(grantSql({ definition: spelled, role, database, logId, known }));
      }
    });
}

async function definitionsOf(
  file: string | undefined,
  { source, name, tables }: GrantOptions,
  context: CommandContext,
): Promise<PostgresDefinition[]> {
  if (source === undefined) {
    const found = await loadDefinitions(resolve(context.directory, file ?? "app.ts"), context.clock);
    return found.filter((one): one is PostgresDefinition => one.kind === "source" && one.type === "postgres");
  }
  if (name === undefined || tables === undefined) {
    throw new MillraceError("USAGE_INVALID", "--source needs --name and --tables", {
      hint: "The name of the source in app.ts, and its tables: --name shop --tables orders,audit.events",
    });
  }
  return [postgres(name, { url: source, tables: tables.split(",").map((table) => table.trim()) })];
}

/** Of the running program, else of the log in the data directory; null where there is neither. */
async function logIdOf(context: CommandContext): Promise<string | null> {
  try {
    const { items } = (await apiOf(context).get("/v1/nodes")) as { items: readonly { readonly logId: string }[] };
    return items[0]?.logId ?? null;
  } catch (error) {
    if (!MillraceError.is(error, "NOT_RUNNING")) throw error;
    const { dataDirectory } = settingsIn(context.directory);
    return await TopicCatalogue.logIdIn(realDisk, join(dataDirectory, "log"));
  }
}
