/**
 * `select` and `order` in PostgREST's grammar (docs.postgrest.org, "Vertical filtering" and "Ordering").
 *
 *     select = <member>,…     member = * | [<alias>:]<field>[::<type>]        select=*,when:placed_at::date,data->>city
 *                                    | [<alias>:]<relation>[!inner](<select>)  select=id,customer(name),lines(*)
 *                                    | ...<relation>[!inner](<select>)         select=id,...customer(city)
 *                                    | [<alias>:]<field>[::<type>].<aggregate>()[::<type>]   select=kind,total.sum()
 *                                    | [<alias>:]count()[::<type>]
 *     order  = <part>,…       part   = <field>[.asc|.desc][.nullsfirst|.nullslast]
 *                                    | <relation>(<field>)[.asc|.desc][.nullsfirst|.nullslast]
 *
 * A field is a column with a path behind it, as in filters. Throws `REQUEST_INVALID`, and nothing else.
 */
import { MillraceError } from "../base/errors.ts";
import type { AggregateName, Embedded, RowQuery, Selected } from "../views/view-info.ts";
import { nearest } from "./nearest.ts";
import { brief, TextScanner } from "./text-scanner.ts";

const aggregates: readonly AggregateName[] = ["count", "sum", "avg", "min", "max", "first", "last"];
const partsMax = 200;
const depthMax = 5;
const relationsMax = 20;

/** Null selects all columns. */
export function parseSelect(text: string | undefined): readonly Selected[] | null {
  if (text === undefined || text === "" || text === "*") return null;
  return new SelectParser(text).members();
}

export function parseOrder(text: string): RowQuery["order"] {
  return text === "" ? [] : new OrderParser(text).parts();
}

class SelectParser extends TextScanner {
  #members = 0;
  #relations = 0;

  constructor(text: string) {
    super(text, (what, hint) =>
      refused("select", what, hint ?? "Write select=column,name:column,column::text,data->key."),
    );
  }

  members(): Selected[] {
    const members = this.#list(0);
    this.expectEnd();
    return members;
  }

  #list(depth: number): Selected[] {
    const members: Selected[] = [];
    do {
      if (++this.#members > partsMax) throw this.invalid(`names more than ${partsMax} members`);
      members.push(this.#member(depth));
    } while (this.take(","));
    return members;
  }

  #member(depth: number): Selected {
    if (this.take("*")) return { all: true };
    const start = this.at;
    if (this.take("...")) {
      const relation = this.field(ends);
      if (!relation || relation.path) throw this.invalid(`needs a relation at ${this.here(start)}`);
      const inner = this.#inner();
      if (this.text[this.at] !== "(") throw this.invalid(`needs "(" at ${this.here()}`, "Write ...relation(column).");
      return { ...this.#embedded(relation.column, null, inner, depth + 1), spread: true };
    }
    const first = this.field(ends);
    if (first === null) throw this.invalid(`needs a column at ${this.here(start)}`);
    const aliased = !this.text.startsWith("::", this.at) && this.take(":");
    if (aliased && first.path) throw this.invalid(`has the path ${brief(this.text.slice(start))} as a name`);
    const second = aliased ? this.field(ends) : first;
    if (second === null) throw this.invalid(`needs a column at ${this.here()}`);
    const alias = aliased ? { alias: first.column } : {};
    if (second.column === "count" && !second.path && this.take("()")) {
      return { aggregate: "count", of: null, ...alias, ...this.#cast() };
    }
    const inner = this.#inner();
    if (this.text[this.at] === "(") {
      if (second.path) throw this.invalid(`has ${brief(this.text.slice(start))}`, "A relation has no path.");
      return this.#embedded(second.column, aliased ? first.column : null, inner, depth + 1);
    }
    if (inner) throw this.invalid(`needs "(" at ${this.here()}`, "Write relation!inner(column).");
    const cast = this.#cast();
    if (this.take(".")) {
      return { aggregate: this.#aggregate(), of: { ...second, ...cast }, ...alias, ...this.#cast() };
    }
    if (!aliased && cast.cast === undefined && first.path === undefined) return first.column;
    return { ...second, ...alias, ...cast };
  }

  #cast(): { cast?: string } {
    if (!this.take("::")) return {};
    const cast = this.word(ends);
    if (cast === "") throw this.invalid(`needs a type at ${this.here()}`);
    return { cast };
  }

  #aggregate(): AggregateName {
    const start = this.at;
    const word = this.word(ends);
    const aggregate = aggregates.find((one) => one === word);
    if (aggregate !== undefined && this.take("()")) return aggregate;
    const meant = nearest(word, aggregates);
    throw this.invalid(
      `needs an aggregate at ${this.here(start)}`,
      meant === undefined || aggregate !== undefined
        ? `Write column.sum(); there are ${aggregates.join(", ")}.`
        : `Did you mean ${meant}()?`,
    );
  }

  #inner(): boolean {
    if (!this.take("!")) return false;
    if (this.take("inner")) return true;
    throw this.invalid(`has ! before ${this.here()}`, "Write relation!inner(column).");
  }

  /** The parentheses and what is in them; nothing in them embeds no member. */
  #embedded(relation: string, alias: string | null, inner: boolean, depth: number): Embedded {
    if (depth > depthMax) throw this.invalid(`is nested deeper than ${depthMax}`);
    if (++this.#relations > relationsMax) throw this.invalid(`embeds more than ${relationsMax} relations`);
    this.take("(");
    const empty = this.text[this.at] === ")";
    const members = empty ? [] : this.#list(depth);
    if (!this.take(")")) throw this.invalid(`needs "," or ")" at ${this.here()}`);
    const [only] = members;
    const all = members.length === 1 && typeof only === "object" && "all" in only;
    return {
      relation,
      ...(alias === null ? {} : { alias }),
      inner,
      select: all ? null : members,
      filter: null,
      order: [],
      limit: null,
      offset: 0,
    };
  }
}

/** Every embedded relation at this level, for its own parameters. */
export function embeddedOf(select: readonly Selected[] | null): readonly Embedded[] {
  return (select ?? []).flatMap((one) => (typeof one === "object" && "relation" in one ? [one] : []));
}

class OrderParser extends TextScanner {
  constructor(text: string) {
    super(text, (what, hint) => {
      return refused(
        "order",
        what,
        hint ?? "Write order=column.desc.nullslast; asc and desc, nullsfirst and nullslast are known.",
      );
    });
  }

  parts(): RowQuery["order"][number][] {
    const parts: RowQuery["order"][number][] = [];
    do {
      if (parts.length >= partsMax) throw this.invalid(`names more than ${partsMax} columns`);
      parts.push(this.#part());
    } while (this.take(","));
    this.expectEnd();
    return parts;
  }

  #part(): RowQuery["order"][number] {
    const start = this.at;
    const first = this.field(orderEnds);
    if (first === null) throw this.invalid(`needs a column at ${this.here(start)}`);
    const related = first.path === undefined && this.take("(");
    const field = related ? this.field(orderEnds) : first;
    if (field === null || (related && !this.take(")")))
      throw this.invalid(`needs relation(column) at ${this.here(start)}`);
    const direction = this.take(".desc") ? "desc" : this.take(".asc") ? "asc" : null;
    const nulls = this.take(".nullsfirst") ? "first" : this.take(".nullslast") ? "last" : null;
    if (!this.atEnd && this.text[this.at] !== ",") throw this.invalid(`has ${this.here()} after "${field.column}"`);
    return { ...field, ...(related ? { relation: first.column } : {}), descending: direction === "desc", nulls };
  }
}

/** What ends a name that stands in no quotes. */
const ends = '.,:()!"';
const orderEnds = '.,()"';

function refused(parameter: string, what: string, hint: string): MillraceError {
  return new MillraceError("REQUEST_INVALID", `${parameter} ${what}`, { hint });
}
