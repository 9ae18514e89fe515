/**
 * Tables that a source's patterns stand for, as its database has them at the moment. What cannot be captured is passed over
 * and said: nobody has asked for it by its name.
 */
import type { Client } from "pg";
import { MillraceError } from "../base/errors.ts";
import {
  mirrorName,
  type PostgresDefinition,
  patternOf,
  type TableDefinition,
  type TablePattern,
} from "../catalog/definitions.ts";
import { readCatalogue } from "./catalogue.ts";
import { ownTopics, topicName } from "./names.ts";
import type { ServerFacts } from "./server-setup.ts";
import { type CheckedTable, checkTables } from "./table-checks.ts";

export interface MatchedTables {
  readonly checked: readonly CheckedTable[];
  /** Sentences: which tables are passed over and why, which patterns stand for none. */
  readonly warnings: readonly string[];
}

interface Relation {
  readonly schema: string;
  readonly table: string;
  /** It is in one of our publications. */
  readonly published: boolean;
  /** The role can put it there. */
  readonly publishable: boolean;
  /** As the catalogue has them: `r` is a table, `p` a partitioned one; `p` is a permanent one. */
  readonly kind: string;
  readonly persistence: string;
}

export const noMatches: MatchedTables = { checked: [], warnings: [] };

/** `publications` are the names of ours, whether they are there or not. */
export async function matchedTables(
  client: Client,
  definition: PostgresDefinition,
  facts: Pick<ServerFacts, "user">,
  publications: readonly string[],
): Promise<MatchedTables> {
  if (definition.patterns.length === 0) return noMatches;
  const { rows } = await client.query<Relation>(relationsSql, [publications]);
  const { wanted, warnings } = planMatches(definition, rows);
  const catalogue = await readCatalogue(client, wanted);
  const checked: CheckedTable[] = [];
  for (const declared of wanted) {
    const found = catalogue.filter(({ schema, table }) => schema === declared.schema && table === declared.table);
    // It has gone since the look at what there is.
    if (found.length === 0) continue;
    try {
      checked.push(...checkTables({ ...definition, tables: [declared] }, facts.user, found));
    } catch (error) {
      if (!MillraceError.is(error)) throw error;
      warnings.push(passedOver(definition, declared, error.message.replace(/^source "[^"]*": /, "")));
    }
  }
  return { checked, warnings };
}

/** Tables that the patterns stand for, whatever the role of the connection may do with them: for who gives it the rights. */
export async function allMatches(client: Client, definition: PostgresDefinition): Promise<readonly TableDefinition[]> {
  const { rows } = await client.query<Relation>(relationsSql, [[]]);
  const tables = rows.filter(({ kind, persistence }) => "rp".includes(kind) && persistence === "p");
  return planMatches(
    definition,
    tables.map((table) => ({ ...table, publishable: true })),
  ).wanted;
}

/** Which relations are captured, by their names and the role's rights alone. Pure. */
export function planMatches(
  definition: PostgresDefinition,
  relations: readonly Relation[],
): { readonly wanted: readonly TableDefinition[]; readonly warnings: string[] } {
  const { name, tables, patterns } = definition;
  const topics = new Set([...ownTopics(name), ...tables.map((table) => topicName(name, table))]);
  const mirrors = new Set(tables.map(({ schema, table }) => mirrorName(schema, table)));
  const wanted: TableDefinition[] = [];
  const warnings: string[] = [];
  const used = new Set<TablePattern>();
  for (const { schema, table, published, publishable } of relations) {
    const pattern = patternOf(patterns, { schema, table });
    if (pattern === null) continue;
    used.add(pattern);
    if (tables.some((one) => one.schema === schema && one.table === table)) continue;
    const declared = { schema, table, appendOnly: pattern.appendOnly, topic: undefined };
    const topic = topicName(name, declared);
    const mirror = mirrorName(schema, table);
    if (topics.has(topic) || mirrors.has(mirror)) {
      warnings.push(
        passedOver(definition, declared, `another table has its topic "${topic}", or its mirror "${mirror}"`),
      );
    } else if (!published && !publishable) {
      warnings.push(
        passedOver(
          definition,
          declared,
          "the role does not own it, or the publication, so that it cannot be published",
        ),
      );
    } else {
      wanted.push(declared);
      topics.add(topic);
      mirrors.add(mirror);
    }
  }
  for (const pattern of patterns) {
    if (!pattern.excludes && !used.has(pattern)) warnings.push(`no table matches "${pattern.spelled}"`);
  }
  return { wanted, warnings };
}

function passedOver({ patterns }: PostgresDefinition, table: TableDefinition, reason: string): string {
  const pattern = patternOf(patterns, table)?.spelled;
  return `"${table.schema}.${table.table}" matches "${pattern}", and is not captured: ${reason}`;
}

/**
 * What a pattern can stand for. Partitions are parts of their table, and what an extension has made is the extension's.
 * A publication that does not exist yet is ours to make.
 */
const relationsSql = `
  with ours as (select oid, puballtables, pg_has_role(pubowner, 'usage') and not pg_is_in_recovery() as owned
                  from pg_publication where pubname = any ($1))
  select n.nspname as schema, c.relname as "table", c.relkind as kind, c.relpersistence as persistence,
         exists (select from ours o where o.puballtables or exists (
           select from pg_publication_rel r where r.prpubid = o.oid and r.prrelid = c.oid)) as published,
         pg_has_role(c.relowner, 'usage') and not exists (select from ours where not owned) as publishable
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
     and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
     and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
   order by n.nspname, c.relname`;
