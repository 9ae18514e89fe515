/**
 * Rows of related views inside the rows of a view, as members of json: an object or null one way, an array the other.
 * They are subqueries of the one statement that reads the rows, and so of the same snapshot.
 */
import { MillraceError } from "../base/errors.ts";
import { groupedView, hasAggregates } from "./row-aggregates.ts";
import type { ColumnsOfView } from "./row-column.ts";
import { orderSql, totalOrder } from "./row-cursor.ts";
import { filterSql, type Parameters } from "./row-filter.ts";
import { jsonInside } from "./row-json.ts";
import { belongSql, oneOf, onlyOne, type RelatedView, relatedOf } from "./row-relations.ts";
import { type Member, membersOf } from "./row-select.ts";
import type { Embedded, Selected } from "./view-info.ts";

/** Rows of an array, when nobody says how many. */
const rowsDefault = 1_000;
const rowsMax = 10_000;

interface View extends ColumnsOfView {
  readonly related?: RelatedView["related"];
}

/** Throws what `membersOf` throws, and what `related` does. */
export function membersWithin(view: View, select: readonly Selected[] | null): readonly Member[] {
  return membersOf(view, select, (embedded) => {
    if (embedded.spread) return spreadMembers(view, embedded);
    return embedded.select?.length === 0 ? [] : [embeddedMember(view, embedded)];
  });
}

/** What must be there (`!inner`, `not.is.null`) or must not (`is.null`). */
export function embeddedConditions(
  view: View,
  select: readonly Selected[] | null,
  alias: string,
  parameters: Parameters,
): string[] {
  return embeddedIn(select).flatMap((embedded) => {
    if (!embedded.inner && !embedded.absent) return [];
    const { relation, view: other } = relatedOf(view, embedded.relation);
    const inner = `${alias}e`;
    const where = [belongSql(relation, alias, inner), ...conditionsOf(other, embedded, inner, parameters)];
    const exists = `exists (select from ${other.publicView} as ${inner} where ${where.join(" and ")})`;
    return embedded.inner && embedded.absent ? ["false"] : [embedded.absent ? `not ${exists}` : exists];
  });
}

/** True when a member is cast, at any depth. */
export function castsIn(select: readonly Selected[] | null): boolean {
  const plain =
    select?.some((one) => typeof one === "object" && ("cast" in one || ("of" in one && one.of?.cast))) === true;
  return plain || embeddedIn(select).some((one) => castsIn(one.select));
}

/** Each one a subquery of its own. */
function spreadMembers(view: View, embedded: Embedded): Member[] {
  const { relation, view: other } = relatedOf(view, embedded.relation);
  onlyOne(view.name, relation, "they cannot be spread into one");
  return membersWithin(other, embedded.select).map(({ name, type, sql }) => ({
    name,
    type,
    sql: (alias, parameters) =>
      oneOf(
        relation,
        other,
        alias,
        (inner) => sql(inner, parameters),
        (inner) => conditionsOf(other, embedded, inner, parameters),
      ),
  }));
}

function embeddedMember(view: View, embedded: Embedded): Member {
  const { relation, view: other } = relatedOf(view, embedded.relation);
  const grouped = relation.many && hasAggregates(embedded);
  const limit = embedded.limit ?? rowsDefault;
  if (limit > rowsMax) {
    throw new MillraceError("REQUEST_INVALID", `${nameOf(embedded)}.limit is ${limit}`, {
      hint: `It is at most ${rowsMax}.`,
    });
  }
  return {
    name: nameOf(embedded),
    type: "json",
    sql: (alias, parameters) => {
      const conditions = (of: string) => conditionsOf(other, embedded, of, parameters);
      const where = (of: string) => [belongSql(relation, alias, of), ...conditions(of)].join(" and ");
      const shown = grouped ? groupedView(other, embedded, where, parameters) : other;
      const members = membersWithin(shown, grouped ? null : embedded.select);
      const form = (of: string) =>
        jsonInside(members.map(({ name, type, sql }) => ({ name, type, value: sql(of, parameters) })));
      if (!relation.many) return oneOf(relation, other, alias, form, conditions);
      const inner = `${alias}e`;
      const rows = `from ${shown.publicView} as ${inner}${grouped ? "" : ` where ${where(inner)}`}`;
      const orderBy = orderSql(totalOrder(shown, embedded.order), inner, parameters);
      const bounds = `limit ${parameters.addNumber(limit)} offset ${parameters.addNumber(embedded.offset)}`;
      // An aggregate that reads nothing but a subquery takes its rows in their order.
      return `(select coalesce(json_agg(m.row), '[]') from (select ${form(inner)} as row ${rows} ${orderBy} ${bounds}) as m)`;
    },
  };
}

function conditionsOf(other: RelatedView, embedded: Embedded, alias: string, parameters: Parameters): string[] {
  return [
    filterSql(other, embedded.filter, alias, parameters),
    ...embeddedConditions(other, embedded.select, alias, parameters),
  ];
}

function embeddedIn(select: readonly Selected[] | null): Embedded[] {
  return (select ?? []).flatMap((one) => (typeof one === "object" && "relation" in one ? [one] : []));
}

function nameOf({ relation, alias }: Embedded): string {
  return alias ?? relation;
}
