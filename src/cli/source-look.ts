/** A look at a source's database from outside, changing nothing: whether it can be captured, and what is in it. */
import type { Client } from "pg";
import { MillraceError } from "../base/errors.ts";
import { type CatalogueTable, readCatalogue } from "../capture/catalogue.ts";
import { openClient } from "../capture/connection.ts";
import type { KnownTable } from "../capture/grant-sql.ts";
import { allMatches, matchedTables } from "../capture/matched-tables.ts";
import { checkServer, readServerFacts, type ServerFacts } from "../capture/server-setup.ts";
import { lookAtSlot } from "../capture/slot-look.ts";
import { sourceError } from "../capture/source-error.ts";
import { checkTables } from "../capture/table-checks.ts";
import { type PostgresDefinition, quote } from "../catalog/definitions.ts";
import { type Finding, failed, finding, ok, warning } from "./findings.ts";
import { printBytes, printNumber } from "./quantity.ts";

const connectMs = 10_000;
const statementMs = 30_000;

/** Runs `look` on a connection of its own. Throws `SOURCE_UNREACHABLE`, `SOURCE_NOT_PERMITTED`, `USAGE_INVALID`. */
export async function withSource<T>(url: string, look: (client: Client) => Promise<T>): Promise<T> {
  if (!/^postgres(ql)?:\/\//.test(url) || !URL.canParse(url)) {
    throw new MillraceError(
      "USAGE_INVALID",
      "the source is no address like postgres://user:password@host:5432/database",
    );
  }
  let client: Client;
  try {
    client = await openClient(url, {
      application_name: "millrace",
      connectionTimeoutMillis: connectMs,
      statement_timeout: statementMs,
    });
  } catch (cause) {
    throw connectFailure(url, cause);
  }
  try {
    return await look(client);
  } finally {
    await client.end().catch(() => {});
  }
}

export interface SourceRights {
  readonly replication: boolean;
  readonly createPublication: boolean;
  readonly slotsLeft: number;
}

export async function readRights(client: Client): Promise<SourceRights> {
  const { rows } = await client.query<SourceRights>(
    `select (rolsuper or rolreplication or exists (select from pg_roles m where m.rolname in ('rds_replication', 'azure_pg_admin', 'cloudsqlsuperuser')
               and pg_has_role(r.rolname, m.oid, 'member'))) as replication,
            has_database_privilege(current_database(), 'create') as "createPublication",
            current_setting('max_replication_slots')::int - (select count(*)::int from pg_replication_slots) as "slotsLeft"
       from pg_roles r where rolname = current_user`,
  );
  return rows[0] as SourceRights;
}

/** Every table of the database that is somebody's, largest first; partitions are part of their table. */
export async function readTables(client: Client): Promise<CatalogueTable[]> {
  const { rows } = await client.query<{ schema: string; table: string }>(
    `select n.nspname as schema, c.relname as "table"
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence = 'p'
        and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      order by n.nspname, c.relname`,
  );
  const tables = await readCatalogue(client, rows);
  return tables.sort((a, b) => b.rowsEstimated - a.rowsEstimated || (nameOf(a) < nameOf(b) ? -1 : 1));
}

/**
 * A definition with the tables that its patterns stand for as if they were named, less those without a key: published, the
 * source's own updates of them would fail. Throws `USAGE_INVALID` where there are patterns and the database cannot be
 * asked, or has no such table.
 */
export async function spelledOut(definition: PostgresDefinition): Promise<PostgresDefinition> {
  if (definition.patterns.length === 0) return definition;
  const refuse = (what: string, hint: string, cause?: unknown) =>
    new MillraceError("USAGE_INVALID", `${what} the patterns of source "${definition.name}"`, { hint, cause });
  const matched = await withSource(definition.url, async (client) => {
    const tables = await allMatches(client, definition);
    const catalogue = await readCatalogue(client, tables);
    return tables.filter(({ schema, table, appendOnly }) => {
      const found = catalogue.find((one) => one.schema === schema && one.table === table);
      return found !== undefined && (appendOnly || hasKey(found));
    });
  }).catch((cause) => {
    const hint = "Run it where the address of the source answers, as any role that may connect.";
    throw refuse("only its database knows which tables match", hint, cause);
  });
  const tables = [...definition.tables, ...matched];
  if (tables.length === 0) throw refuse("no table matches", "Run it again when there is one.");
  return { ...definition, tables };
}

/** The tables that a definition names, by `schema.table`; nothing where the database cannot be asked. */
export async function knownTables(definition: PostgresDefinition): Promise<Record<string, KnownTable>> {
  try {
    const tables = await withSource(definition.url, (client) => readCatalogue(client, definition.tables));
    return Object.fromEntries(
      tables.map(({ schema, table, kind, columns }) => [
        `${schema}.${table}`,
        { kind, columns: columns.filter(({ generated }) => !generated).map(({ name }) => name) },
      ]),
    );
  } catch {
    return {};
  }
}

export function nameOf({ schema, table }: { schema: string; table: string }): string {
  return schema === "public" ? table : `${schema}.${table}`;
}

/** The source as a definition declares it. */
export async function lookAtDefinition(definition: PostgresDefinition): Promise<Finding[]> {
  return look(definition.name, definition.url, async (client, facts) => {
    const catalogue = await readCatalogue(client, definition.tables);
    const matched = await matchedTables(client, definition, facts, []);
    const checked = [...checkTables(definition, facts.user, catalogue), ...matched.checked];
    const rows = Math.round(checked.reduce((sum, table) => sum + table.rowsEstimated, 0));
    // Nothing is estimated of a table that was never analyzed.
    const amount = rows === 0 ? "" : `, about ${printNumber(rows, "row")}`;
    const what = `tables of ${definition.name}`;
    const sentences = [...checked.flatMap((table) => table.warnings), ...matched.warnings];
    const warnings = sentences.map((text) => warning(what, text));
    return [
      await publishing(what, catalogue, `${checked.length} can be captured${amount}`, facts, client),
      ...warnings,
    ];
  });
}

/** A database of which nothing is declared yet. */
export async function lookAtUrl(url: string): Promise<Finding[]> {
  return look("source", url, async (client, facts) => {
    const tables = await readTables(client);
    const secret = tables.filter((table) => !table.readable);
    const keyless = tables.filter((table) => table.readable && !hasKey(table));
    const ready = tables.filter((table) => table.readable && hasKey(table));
    const found = [await publishing("tables", ready, `${ready.length} can be captured`, facts, client)];
    if (secret.length > 0) {
      const schemas = [...new Set(secret.map(({ schema }) => quote(schema)))].join(", ");
      const hint = `As their owner: grant usage on schema ${schemas} to ${quote(facts.user)}; grant select on all tables in schema ${schemas} to ${quote(facts.user)};`;
      found.push(warning("tables", `${secret.length} cannot be read by ${facts.user}: ${namesOf(secret)}`, hint));
    }
    if (keyless.length > 0) {
      const hint = "Declare them appendOnly when rows are only ever inserted, or: alter table … replica identity full;";
      found.push(warning("tables", `${keyless.length} without a key: ${namesOf(keyless)}`, hint));
    }
    return found;
  });
}

function namesOf(tables: readonly CatalogueTable[]): string {
  const named = tables.slice(0, 8).map(nameOf).join(", ");
  return tables.length > 8 ? `${named}, …` : named;
}

/**
 * Whether the role may publish the tables. It need not when an administrator has made the publication, whose name only
 * a running Millrace knows: then any that is called like ours is taken for it.
 */
async function publishing(
  what: string,
  tables: readonly CatalogueTable[],
  good: string,
  facts: ServerFacts,
  client: Client,
): Promise<Finding> {
  const foreign = tables.filter((table) => !table.publishable);
  if (foreign.length === 0) return ok(what, good);
  const made = await client.query("select from pg_publication where pubname like 'millrace\\_%'");
  if (made.rowCount !== 0) return ok(what, good);
  const owners = [...new Set(foreign.map(({ owner }) => owner))];
  const { rows } = await client.query("select from pg_roles where rolname = any ($1) and rolsuper", [owners]);
  const grants = owners.map((owner) => `grant ${quote(owner)} to ${quote(facts.user)};`).join(" ");
  const byHand = "start Millrace once, and let an administrator run what millrace sources grant-sql prints then";
  const error = new MillraceError(
    "SOURCE_NOT_PERMITTED",
    `${facts.user} does not own ${namesOf(foreign)}, so that it cannot publish their changes`,
    // A member of a superuser could become one.
    { hint: rows.length > 0 ? `Alter their owner, or ${byHand}.` : `Run: ${grants} or ${byHand}.` },
  );
  return failed(what, error);
}

/** A row can be told from another one in the stream. */
export function hasKey(table: CatalogueTable): boolean {
  if (table.identity === "full") return true;
  return table.identity !== "nothing" && table.columns.some((column) => column.identity);
}

async function look(
  name: string,
  url: string,
  lookDeeper: (client: Client, facts: ServerFacts) => Promise<Finding[]>,
): Promise<Finding[]> {
  try {
    return await withSource(url, async (client) => {
      const facts = await readServerFacts(client);
      const version = `PostgreSQL ${Math.floor(facts.version / 10_000)}.${facts.version % 10_000}`;
      const server = await finding(name, () => {
        checkServer(name, facts);
        return ok(name, `${version}, database ${facts.database}, wal_level logical`);
      });
      const rights = await finding(`rights of ${facts.user}`, async () =>
        rightsFinding(facts, await readRights(client)),
      );
      const wal = await walFindings(name, client).catch((error: unknown) => [failed(`log of ${name}`, error)]);
      const deeper = await lookDeeper(client, facts).catch((error: unknown) => [failed(`tables of ${name}`, error)]);
      return [server, rights, ...wal, ...deeper];
    });
  } catch (error) {
    return [failed(name, error)];
  }
}

/** What the server would keep for us and for how long, and what is left of other Millraces. */
async function walFindings(name: string, client: Client): Promise<Finding[]> {
  const { rows } = await client.query<{ keep: string; idle: string }>(
    `select current_setting('max_slot_wal_keep_size') as keep,
            coalesce(current_setting('idle_replication_slot_timeout', true), '0') as idle`,
  );
  const { keep = "", idle = "0" } = rows[0] ?? {};
  const { orphans, advice } = await lookAtSlot(client, "");
  return [
    ...(keep === "-1"
      ? [
          warning(
            name,
            "max_slot_wal_keep_size is not set: while Millrace is down its slot holds WAL without a bound",
            "As a superuser: alter system set max_slot_wal_keep_size = '20GB'; select pg_reload_conf(); take less than the disk has free, and more than is written in the longest time that Millrace may be away.",
          ),
        ]
      : []),
    ...(/^0/.test(idle)
      ? []
      : [
          warning(
            name,
            `idle_replication_slot_timeout is ${idle}: when Millrace is away for longer, its slot is lost and the source must be read anew`,
            "Make it longer than Millrace may be away, or 0 and bound the disk with max_slot_wal_keep_size.",
          ),
        ]),
    ...advice.filter((sentence) => !sentence.startsWith("idle_")).map((sentence) => warning(name, sentence)),
    ...orphans.map(({ kind, name: called, heldBytes, sql }) =>
      warning(
        name,
        `${kind} ${called} of a Millrace is not in use${heldBytes === null ? "" : `, and holds ${printBytes(heldBytes)} of the server's log`}`,
        `When nobody needs it: ${sql}`,
      ),
    ),
  ];
}

function rightsFinding(facts: ServerFacts, rights: SourceRights): Finding {
  const what = `rights of ${facts.user}`;
  const sql = [
    ...(rights.replication ? [] : [`alter role ${quote(facts.user)} replication;`]),
    ...(rights.createPublication ? [] : [`grant create on database ${quote(facts.database)} to ${quote(facts.user)};`]),
  ];
  if (sql.length > 0) {
    const lacking = [
      ...(rights.replication ? [] : ["may not replicate"]),
      ...(rights.createPublication ? [] : ["may not create publications"]),
    ];
    const error = new MillraceError("SOURCE_NOT_PERMITTED", `it ${lacking.join(" and ")}`, {
      hint: `As an administrator of the source, run: ${sql.join(" ")}`,
    });
    return failed(what, error);
  }
  if (rights.slotsLeft > 0) return ok(what, "it may replicate and make publications");
  return warning(
    what,
    "every replication slot of the server is taken",
    "Raise max_replication_slots, and restart the server.",
  );
}

function connectFailure(url: string, cause: unknown): MillraceError {
  const known = sourceError(cause, { name: "source", url });
  if (known.code === "SOURCE_TLS" || known.code === "SOURCE_POOLER") return known;
  const { hostname, port, pathname } = new URL(url);
  const place = `${hostname || "localhost"}:${port || 5432}${pathname}`;
  const message =
    cause instanceof Error ? cause.message || String((cause as { code?: unknown }).code ?? cause) : String(cause);
  const sqlState = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  if (/^28|^3D000|^42501/.test(sqlState)) {
    return new MillraceError("SOURCE_NOT_PERMITTED", `${place} refuses: ${message}`, {
      hint: "Check user, password and database of the address, and the server's pg_hba.conf.",
      cause,
    });
  }
  return new MillraceError("SOURCE_UNREACHABLE", `${place} does not answer: ${message}`, {
    hint: "Is the server running, and can it be reached from this machine?",
    cause,
  });
}
