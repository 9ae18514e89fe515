/**
 * How rows of views belong together, by the references that definitions declare. One way a relation has the reference's
 * name and leads to one row, the other way it has the name of the view that refers and leads to many. Pure.
 */
import { MillraceError } from "../base/errors.ts";
import { quote, type ViewDefinition } from "../catalog/definitions.ts";
import type { LiveView } from "./live-view.ts";
import { nearestName } from "./row-column.ts";
import { type FieldExpression, fieldOf } from "./row-field.ts";
import type { Field } from "./view-info.ts";

export interface Relation {
  readonly name: string;
  /** The other view. */
  readonly view: string;
  readonly many: boolean;
  /** Columns of this view, with those of the other one that they equal. */
  readonly on: readonly (readonly [own: string, other: string])[];
}

/** A view whose rows can be embedded in those of another one. */
export interface RelatedView extends Pick<LiveView, "name" | "publicView" | "lock" | "columns" | "key"> {
  /** Throws `RELATION_UNKNOWN`, `RELATION_AMBIGUOUS`, and what reading the other view throws. */
  readonly related: (name: string) => { readonly relation: Relation; readonly view: RelatedView };
}

type Referring = Pick<ViewDefinition, "name" | "references">;

export function relationsOf(view: string, definitions: Iterable<Referring>): Relation[] {
  const relations: Relation[] = [];
  for (const { name, references = [] } of definitions) {
    for (const reference of references) {
      if (name === view) relations.push({ name: reference.name, view: reference.view, many: false, on: reference.on });
      if (reference.view !== view) continue;
      const on = reference.on.map(([own, other]) => [other, own] as const);
      relations.push({ name, view: name, many: true, on });
    }
  }
  return relations;
}

interface Views {
  readable(view: string): LiveView;
  relations(view: string): readonly Relation[];
}

/** The view together with the way to others. */
export function withRelations<View extends Omit<RelatedView, "related">>(views: Views, view: View): View & RelatedView {
  return {
    ...view,
    related: (name) => {
      const relation = relationOf(view.name, name, views.relations(view.name));
      return { relation, view: withRelations(views, views.readable(relation.view)) };
    },
  };
}

/** Two references of a view to another one are told apart by their columns: `orders(…)` alone means neither. */
function relationOf(view: string, name: string, relations: readonly Relation[]): Relation {
  const found = relations.filter((one) => one.name === name);
  const [first] = found;
  if (first !== undefined && found.length === 1) return first;
  const details = { view, relation: name.slice(0, 80) };
  if (first !== undefined) {
    throw new MillraceError("RELATION_AMBIGUOUS", `view "${view}" is related to "${name}" in ${found.length} ways`, {
      hint: `"${name}" refers to it more than once: read "${name}" and embed from there.`,
      details,
    });
  }
  const names = relations.map((one) => one.name);
  const nearest = nearestName(name, names);
  throw new MillraceError("RELATION_UNKNOWN", `view "${view}" has no relation ${JSON.stringify(name.slice(0, 80))}`, {
    hint:
      nearest !== undefined
        ? `Did you mean "${nearest}"?`
        : names.length > 0
          ? `It is related to ${[...new Set(names)].slice(0, 20).join(", ")}.`
          : 'Declare one: view(…, { references: { customer: { view: "customers", on: { customer_id: "id" } } } }).',
    details,
  });
}

/** The relation of the view. Throws as `related` does. */
export function relatedOf(
  view: { readonly name: string; readonly related?: RelatedView["related"] },
  name: string,
): ReturnType<RelatedView["related"]> {
  if (view.related) return view.related(name);
  throw new MillraceError("RELATION_UNKNOWN", `view "${view.name}" has no relation ${JSON.stringify(name)} here`);
}

/** Throws `REQUEST_INVALID` for a relation to many rows. */
export function onlyOne(view: string, { name, many }: Relation, what: string): void {
  if (!many) return;
  throw new MillraceError("REQUEST_INVALID", `view "${view}" has many rows of "${name}": ${what}`, {
    hint: "It takes references, which lead to one row.",
  });
}

/** A field of the one row that a reference leads to; null where there is none. */
export function fieldBehind(
  view: { readonly name: string; readonly related?: RelatedView["related"] },
  name: string,
  field: Field,
): FieldExpression {
  const { relation, view: other } = relatedOf(view, name);
  onlyOne(view.name, relation, "rows cannot be ordered by them");
  const column = fieldOf(other, field);
  return {
    ...column,
    name: `${name}(${column.name})`,
    nullable: true,
    sql: (alias, parameters) => oneOf(relation, other, alias, (inner) => column.sql(inner, parameters)),
  };
}

/** A value of the row that belongs to that of `alias`, which `conditions` may refuse. */
export function oneOf(
  relation: Relation,
  other: RelatedView,
  alias: string,
  value: (inner: string) => string,
  conditions: (inner: string) => readonly string[] = () => [],
): string {
  const inner = `${alias}e`;
  const where = [belongSql(relation, alias, inner), ...conditions(inner)].join(" and ");
  return `(select ${value(inner)} from ${other.publicView} as ${inner} where ${where} limit 1)`;
}

/** The condition that rows of both aliases belong together. */
export function belongSql({ on }: Relation, alias: string, other: string): string {
  return on.map(([own, theirs]) => `${other}.${quote(theirs)} = ${alias}.${quote(own)}`).join(" and ");
}
