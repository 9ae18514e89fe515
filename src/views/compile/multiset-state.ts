/**
 * The state of a linear view without a key. Contributions say how often a row comes or goes; the merge adds copies behind
 * the last one of it, or takes the last ones away.
 */
import { quote } from "../../catalog/definitions.ts";
import { printContribution } from "./contribution.ts";
import { content, contentHash, copy, createMultiset, numbered } from "./multiset.ts";
import { hiddenPrefix, type Plan } from "./plan.ts";
import { createLog, deltaRows, deltaRowsName, type StateNames, type StateSql, stateTables } from "./state.ts";

export function makeMultisetState(plan: Plan, names: StateNames): StateSql {
  const { stateTable, logTable, deltaName, deltaTable, dropRows } = stateTables(names);
  const publicNames = plan.groups.map((group) => quote(group.column));
  const weight = quote(plan.slots[0]?.column ?? "");
  const required = [...plan.groups.filter((group) => group.notNull).map((group) => quote(group.column)), content, copy];
  const parts = plan.branches.map((_, b) => printContribution(plan, b, undefined, () => "mirror"));
  const rows = numbered(
    `select ${publicNames.join(", ")} from (${parts.map((part) => `(${part})`).join("\nunion all\n")}) u`,
    publicNames,
  );
  const columns = [...publicNames, content, copy].join(", ");
  const tables = { stateTable, logTable, publicNames, weight };
  return {
    stateTable,
    logTable,
    deltaTable,
    deltaTarget: `${deltaTable} (${[...publicNames, weight].join(", ")})`,
    create: [
      `create table ${stateTable} with (fillfactor = 70) as\n${rows}\nwith no data`,
      `alter table ${stateTable} ${required.map((name) => `alter column ${name} set not null`).join(", ")}, add constraint rows_add_up check (${copy} > 0)`,
      ...createMultiset({ ...names, stateTable, publicNames, shown: null }),
      ...createLog(stateTable, logTable, publicNames),
    ],
    drop: [dropRows, `drop table if exists ${logTable}`, `drop table if exists ${stateTable}`],
    publicView: `create or replace view views.${quote(names.view)} as select ${publicNames.join(", ")} from ${stateTable}`,
    fill: `insert into ${stateTable} (${columns})\nselect ${columns} from (${rows}) r`,
    connect: [
      `create temporary table if not exists ${deltaName} as select ${publicNames.join(", ")}, 0::bigint as ${weight} from ${stateTable} with no data`,
    ],
    clear: [`delete from ${deltaTable}`],
    recompute: [],
    merge: (batch) => `with ${printMerge({ ...tables, deltaTable }, batch)}`,
    mergeRows: (batch, contributed) =>
      `with ${deltaRows([...publicNames, weight], contributed)}${printMerge({ ...tables, deltaTable: deltaRowsName }, batch)}`,
  };
}

/** How many copies of a row there were before the merge, and how many there are to be. */
const [stood, stands] = [quote(`${hiddenPrefix}stood`), quote(`${hiddenPrefix}stands`)];

interface MergeNames {
  readonly stateTable: string;
  readonly logTable: string;
  readonly deltaTable: string;
  readonly publicNames: readonly string[];
  readonly weight: string;
}

/** What follows `with`. */
function printMerge({ stateTable, logTable, deltaTable, publicNames, weight }: MergeNames, batch: string): string {
  const list = publicNames.join(", ");
  const each = (alias: string) => publicNames.map((name) => `${alias}.${name}`).join(", ");
  const any = publicNames.map((name) => `any_value(d.${name}) as ${name}`).join(", ");
  const last = `select coalesce(max(v.${copy}), 0) as ${stood} from ${stateTable} v where v.${content} = n.${content}`;
  return [
    `net as (select ${any}, d.${content}, sum(d.${weight})::bigint as ${weight}`,
    `from (select d.*, ${contentHash(publicNames.map((name) => `d.${name}`))} as ${content} from ${deltaTable} d) d`,
    `group by d.${content} having sum(d.${weight}) <> 0),`,
    `counted as (select n.*, l.${stood}, l.${stood} + n.${weight} as ${stands} from net n cross join lateral (${last}) l),`,
    `gone as (delete from ${stateTable} v using counted c where v.${content} = c.${content} and v.${copy} > c.${stands}`,
    `returning ${each("v")}),`,
    // Fewer than none cannot be: the check on the table stops the batch.
    `come as (insert into ${stateTable} (${list}, ${content}, ${copy})`,
    `select ${each("c")}, c.${content}, i.${copy} from counted c`,
    `cross join generate_series(case when c.${stands} < 0 then c.${stands} else c.${stood} + 1 end, c.${stands}) i (${copy})`,
    `returning ${list})`,
    `insert into ${logTable} (batch, w, ${list})`,
    `select ${batch}, -1, ${list} from gone`,
    "union all",
    `select ${batch}, 1, ${list} from come`,
  ].join("\n");
}
