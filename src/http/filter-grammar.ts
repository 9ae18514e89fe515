/**
 * Filters in PostgREST's grammar (docs.postgrest.org, "Horizontal filtering"), parsed into the `Filter` of the views.
 *
 *     <column>=[not.]<operator>.<value>        ?status=eq.paid&total=gte.10
 *     [not.]and=(<term>,…)  [not.]or=(<term>,…)
 *     term  = <column>.[not.]<operator>.<value> | [not.]and(<term>,…) | [not.]or(<term>,…)
 *     in    = in.(a,b,"c,d")        is = is.null | is.not_null | is.true | is.false | is.unknown
 *
 * A value at the top is taken to its end, as it is; inside parentheses it ends at `,` or `)` unless it stands in double
 * quotes, where `\` keeps the next character. In like and ilike `*` stands for `%`. A column in double quotes may have
 * any character. Throws `FILTER_INVALID`, and nothing else.
 */
import { MillraceError } from "../base/errors.ts";
import type { Filter, FilterOperator } from "../views/view-info.ts";
import { nearest } from "./nearest.ts";

const operators: readonly FilterOperator[] = ["eq", "neq", "gt", "gte", "lt", "lte", "in", "like", "ilike", "is"];
const isValues = ["null", "not_null", "true", "false", "unknown"];
const depthMax = 16;
const conditionsMax = 500;
const valuesMax = 1_000;

/** `status=eq.paid`: `column` is the parameter's name. */
export function parseColumnFilter(column: string, text: string): Filter {
  const parser = new FilterParser(text, `the filter on "${column}"`);
  return parser.condition(parser.unquoteColumn(column), "end");
}

/** `and=(…)`, `or=(…)`, `not.and=(…)`, `not.or=(…)`: `name` is one of the four. */
export function parseGroupFilter(name: string, text: string): Filter {
  const negated = name.startsWith("not.");
  const kind = (negated ? name.slice(4) : name) === "and" ? "and" : "or";
  const parser = new FilterParser(text, `"${name}"`);
  const filter = parser.group(kind, negated);
  parser.expectEnd();
  return filter;
}

/** All of them must hold; null when there are none. */
export function allOf(filters: readonly Filter[]): Filter | null {
  const [first] = filters;
  if (first === undefined) return null;
  return filters.length === 1 ? first : { kind: "and", negated: false, of: filters };
}

class FilterParser {
  readonly #text: string;
  readonly #where: string;
  #at = 0;
  #depth = 0;
  #conditions = 0;

  constructor(text: string, where: string) {
    this.#text = text;
    this.#where = where;
  }

  /** `[not.]<operator>.<value>`, up to the end of the text or of the term. */
  condition(column: string, until: "end" | "term"): Filter {
    if (++this.#conditions > conditionsMax) throw this.#invalid(`has more than ${conditionsMax} conditions`);
    const negated = this.#take("not.");
    const operator = this.#operator();
    const values = operator === "in" ? this.#list() : [until === "end" ? this.#rest() : this.#value()];
    if (until === "end") this.expectEnd();
    const [value = ""] = values;
    if (operator === "is") {
      const known = value.toLowerCase();
      if (!isValues.includes(known)) {
        throw this.#invalid(`has is.${brief(value)}; is takes ${isValues.join(", ")}`);
      }
      return known === "not_null"
        ? { kind: "compare", column, operator, values: ["null"], negated: !negated }
        : { kind: "compare", column, operator, values: [known], negated };
    }
    const patterns = operator === "like" || operator === "ilike";
    return { kind: "compare", column, operator, values: patterns ? [value.replaceAll("*", "%")] : values, negated };
  }

  group(kind: "and" | "or", negated: boolean): Filter {
    if (++this.#depth > depthMax) throw this.#invalid(`is nested deeper than ${depthMax}`);
    if (!this.#take("(")) throw this.#invalid(`needs "(" at ${this.#here()}`);
    const of = [this.#term()];
    while (this.#take(",")) of.push(this.#term());
    if (!this.#take(")")) throw this.#invalid(`needs "," or ")" at ${this.#here()}`);
    this.#depth--;
    return { kind, negated, of };
  }

  /** A whole parameter name: a column, in double quotes or not. */
  unquoteColumn(name: string): string {
    if (!name.startsWith('"')) return name;
    const inner = new FilterParser(name, this.#where);
    const column = inner.#quoted();
    inner.expectEnd();
    return column;
  }

  expectEnd(): void {
    if (this.#at < this.#text.length) throw this.#invalid(`ends before ${this.#here()}`);
  }

  #term(): Filter {
    const start = this.#at;
    const negated = this.#take("not.");
    if (this.#take("and(")) return this.#groupAfterName("and", negated);
    if (this.#take("or(")) return this.#groupAfterName("or", negated);
    this.#at = start;
    const column = this.#text[this.#at] === '"' ? this.#quoted() : this.#word();
    if (column === "" || !this.#take(".")) {
      throw this.#invalid(`needs column.operator.value at ${this.#here(start)}`);
    }
    return this.condition(column, "term");
  }

  #groupAfterName(kind: "and" | "or", negated: boolean): Filter {
    this.#at--;
    return this.group(kind, negated);
  }

  #operator(): FilterOperator {
    const word = this.#word();
    const operator = operators.find((one) => one === word);
    if (operator !== undefined && this.#take(".")) return operator;
    if (operator !== undefined) throw this.#invalid(`needs a value after ${operator}.`);
    const meant = nearest(word, operators);
    throw this.#invalid(
      `has no operator that is known at ${brief(word)}`,
      meant === undefined
        ? `Write it as operator.value with one of ${operators.join(", ")}; for example status=eq.paid.`
        : `Did you mean ${meant}?`,
    );
  }

  #list(): string[] {
    if (!this.#take("(")) throw this.#invalid(`needs in.(a,b,c)`);
    if (this.#take(")")) return [];
    const values = [this.#value()];
    while (this.#take(",")) {
      if (values.length >= valuesMax) throw this.#invalid(`lists more than ${valuesMax} values`);
      values.push(this.#value());
    }
    if (!this.#take(")")) throw this.#invalid(`needs "," or ")" at ${this.#here()}`);
    return values;
  }

  /** Up to `,` or `)`, or a text in double quotes. */
  #value(): string {
    if (this.#text[this.#at] === '"') return this.#quoted();
    const start = this.#at;
    while (this.#at < this.#text.length && this.#text[this.#at] !== "," && this.#text[this.#at] !== ")") this.#at++;
    return this.#text.slice(start, this.#at);
  }

  #quoted(): string {
    const start = this.#at++;
    let value = "";
    for (;;) {
      const character = this.#text[this.#at++];
      if (character === undefined) throw this.#invalid(`has a quote that is not closed at ${this.#here(start)}`);
      if (character === '"') return value;
      if (character !== "\\") {
        value += character;
        continue;
      }
      const kept = this.#text[this.#at++];
      if (kept === undefined) throw this.#invalid(`has a quote that is not closed at ${this.#here(start)}`);
      value += kept;
    }
  }

  #rest(): string {
    const value = this.#text.slice(this.#at);
    this.#at = this.#text.length;
    return value;
  }

  #word(): string {
    const start = this.#at;
    while (this.#at < this.#text.length && !'.,()"'.includes(this.#text[this.#at] as string)) this.#at++;
    return this.#text.slice(start, this.#at);
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #here(at = this.#at): string {
    return at >= this.#text.length ? "its end" : `${brief(this.#text.slice(at))} (character ${at + 1})`;
  }

  #invalid(what: string, hint?: string): MillraceError {
    return new MillraceError("FILTER_INVALID", `${this.#where} ${what}`, {
      hint: hint ?? "Values with commas, parentheses or quotes stand in double quotes inside parentheses.",
    });
  }
}

function brief(text: string): string {
  return JSON.stringify(text.length > 30 ? `${text.slice(0, 30)}…` : text);
}
