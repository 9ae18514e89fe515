/**
 * The rights that capturing needs, and no more, as a script for an administrator. With a publication that the administrator
 * makes, the role owns nothing, creates nothing in the database, and reads what is captured.
 */
import { MillraceError } from "../base/errors.ts";
import { type PostgresDefinition, quote, type TableDefinition } from "../catalog/definitions.ts";
import { appendOnlyPublication, slotName } from "./names.ts";
import { publicationSql, publishedList } from "./server-setup.ts";

export interface GrantRequest {
  readonly definition: Pick<PostgresDefinition, "name" | "tables">;
  readonly role: string;
  readonly database: string;
  /** Names the publications; null while there is no log, and then the role must be able to make them. */
  readonly logId: string | null;
  /** By `schema.table`, where the database could be asked. */
  readonly known?: Readonly<Record<string, KnownTable>>;
}

export interface KnownTable {
  /** `p` is a partitioned one. */
  readonly kind: string;
  /** That can be captured, in their order. */
  readonly columns: readonly string[];
}

/** SQL for psql or any client; it can be run again. Throws `USAGE_INVALID` where it cannot be made without the database. */
export function grantSql(request: GrantRequest): string {
  const { definition, role, database } = request;
  const schemas = [...new Set(definition.tables.map(({ schema }) => schema))];
  const tables = definition.tables.map(({ schema, table }) => `${quote(schema)}.${quote(table)}`);
  return [
    `-- What Millrace needs in database ${comment(database)} to capture source ${definition.name}.`,
    "-- Run it there as a superuser, or as the administrator of a managed service and the owner of the tables.",
    "",
    "-- The role. Its password is set apart, so that it stands in no file: \\password in psql.",
    `do $do$ begin
  if not exists (select from pg_roles where rolname = ${literal(role)}) then
    create role ${quote(role)} login;
  end if;
end $do$;`,
    "",
    "-- Replication. On the managed services it is not an attribute that you may set:",
    `--   Amazon RDS, Aurora:   grant rds_replication to ${comment(quote(role))};   and rds.logical_replication = 1 in the parameter group`,
    `--   Google Cloud SQL:     alter user ${comment(quote(role))} with replication;   and the flag cloudsql.logical_decoding = on`,
    `--   Azure:                alter role ${comment(quote(role))} with replication;   and wal_level = logical in the server parameters`,
    `--   Supabase, Neon:       use a role that may replicate, and the direct address, not the pooler's`,
    `alter role ${quote(role)} replication;`,
    "",
    "-- Reading what is captured: for snapshots, and to see how the tables look.",
    `grant connect on database ${quote(database)} to ${quote(role)};`,
    `grant usage on schema ${schemas.map(quote).join(", ")} to ${quote(role)};`,
    `grant select on table ${tables.join(", ")} to ${quote(role)};`,
    "-- A table with row security is refused to a role that it hides rows from: alter role … bypassrls, if you have any.",
    "",
    ...publications(request),
    "",
    "-- The server must run with wal_level = logical. So that its disk stays bounded while Millrace is away:",
    "--   alter system set max_slot_wal_keep_size = '20GB'; select pg_reload_conf();",
    "",
  ].join("\n");
}

function publications({ definition, role, database, logId, known = {} }: GrantRequest): string[] {
  if (logId === null) {
    return [
      "-- The publication is named after Millrace's log, which is not there yet. Start Millrace once and run",
      "-- millrace sources grant-sql again, or let the role make it, which must then own the tables as well:",
      `-- grant create on database ${comment(quote(database))} to ${comment(quote(role))};`,
    ];
  }
  const slot = slotName(definition.name, logId);
  const statements: string[] = [];
  for (const appendOnly of [false, true]) {
    const tables = definition.tables
      .filter((table) => table.appendOnly === appendOnly)
      .map((table) => publishedAs(table, known[`${table.schema}.${table.table}`]));
    if (tables.length === 0) continue;
    const name = appendOnly ? appendOnlyPublication(slot) : slot;
    statements.push(`do $do$ begin
  if exists (select from pg_publication where pubname = ${literal(name)}) then
    alter publication ${quote(name)} set table ${publishedList(tables)};
  else
    ${publicationSql(name, appendOnly, tables)};
  end if;
end $do$;`);
  }
  return ["-- What is published. Run this part again when tables are added to the source.", ...statements];
}

function publishedAs({ schema, table, columns, where }: TableDefinition, known: KnownTable | undefined) {
  const entry = { schema, table, kind: known?.kind ?? "r", where: where ?? null };
  if (columns === undefined) return { ...entry, listed: null };
  if (known === undefined) {
    throw new MillraceError(
      "USAGE_INVALID",
      `which columns of "${schema}.${table}" are published, only the database knows`,
      {
        hint: "Run it where the address of the source answers: with --source, as any role that may connect.",
      },
    );
  }
  const wanted = (name: string) => columns.names.includes(name) === (columns.kind === "only");
  return { ...entry, listed: known.columns.filter(wanted) };
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A name cannot end the comment that it stands in. */
function comment(text: string): string {
  return text.replace(/[\r\n]/g, " ");
}
