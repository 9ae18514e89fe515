/**
 * Filters in PostgREST's grammar (docs.postgrest.org, "Horizontal filtering"), parsed into the `Filter` of the views.
 *
 *     <field>=[not.]<operator>.<value>        ?status=eq.paid&total=gte.10&data->>city=eq.Graz
 *     [not.]and=(<term>,…)  [not.]or=(<term>,…)
 *     term  = <field>.[not.]<operator>.<value> | [not.]and(<term>,…) | [not.]or(<term>,…)
 *     field = <column> with `->key`, `->0` and a last `->>key` behind it
 *     in    = in.(a,b,"c,d")        is = is.null | is.not_null | is.true | is.false | is.unknown
 *     json = jsonpath.$.items[*] ? (@.price > 10) | jsonmatch.$.total > 100
 *     similar = similar.smith | similar(0.5).smith | word_similar.smith
 *     tree = lquery.*.Astronomy.* | ltxtquery.Europe & !Transport
 *     any   = eq(any).{a,b,"c,d"}   all = like(all).{a*,*b}        fts = fts.a&b | fts(english).a&b
 *
 * A value at the top is taken to its end, as it is; inside parentheses it ends at `,` or `)` unless it stands in double
 * quotes, where `\` keeps the next character, or in braces. In like and ilike `*` stands for `%`. A column or key in double
 * quotes may have any character. Throws `FILTER_INVALID`, and nothing else.
 */
import { MillraceError } from "../base/errors.ts";
import type { Field, Filter, FilterOperator } from "../views/view-info.ts";
import { similarOperator } from "./find-parameters.ts";
import { nearest } from "./nearest.ts";
import { brief, TextScanner } from "./text-scanner.ts";

const searches: readonly FilterOperator[] = ["fts", "plfts", "phfts", "wfts"];
const quantified: readonly FilterOperator[] = ["eq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch"];
const operators: readonly FilterOperator[] = [
  ...(["eq", "neq", "gt", "gte", "lt", "lte", "in", "like", "ilike", "match", "imatch", "is", "isdistinct"] as const),
  ...searches,
  ...(["cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj"] as const),
  ...(["jsonpath", "jsonmatch"] as const),
];
const isValues = ["null", "not_null", "true", "false", "unknown"];
const depthMax = 16;
const conditionsMax = 500;
const valuesMax = 1_000;
const similarLengthMax = 1_000;
const treePatterns = ["lquery", "ltxtquery"] as const;
const treePatternLengthMax = 1_000;
/** Characters behind open braces, all of them together: what looks ahead must not be quadratic. */
const lookedMax = 100_000;
/** What ends a name or an operator that stands in no quotes. */
const wordEnds = '.,()"';

/** `status=eq.paid`, `data->>city=eq.Graz`: `field` is the parameter's name. */
export function parseColumnFilter(field: string, text: string): Filter {
  const where = `the filter on ${brief(field)}`;
  const name = new FilterParser(field, where);
  const of = name.field("");
  if (of === null) throw name.invalid("has no column");
  name.expectEnd();
  return new FilterParser(text, where).condition(of, "end");
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

class FilterParser extends TextScanner {
  #depth = 0;
  #conditions = 0;
  #looked = 0;

  constructor(text: string, where: string) {
    super(text, (what, hint) => {
      return new MillraceError("FILTER_INVALID", `${where} ${what}`, {
        hint: hint ?? "Values with commas, parentheses or quotes stand in double quotes inside parentheses.",
      });
    });
  }

  /** `[not.]<operator>.<value>`, up to the end of the text or of the term. */
  condition(field: Field, until: "end" | "term"): Filter {
    if (++this.#conditions > conditionsMax) throw this.invalid(`has more than ${conditionsMax} conditions`);
    const negated = this.take("not.");
    const similar = this.#similar(field, negated, until);
    if (similar) return similar;
    const pattern = this.#treePattern(field, negated, until);
    if (pattern) return pattern;
    const { operator, ...modifier } = this.#operator();
    const values = this.#values(operator, modifier.quantifier !== undefined, until);
    if (until === "end") this.expectEnd();
    if (operator === "is") {
      const known = (values[0] ?? "").toLowerCase();
      if (!isValues.includes(known)) {
        throw this.invalid(`has is.${brief(values[0] ?? "")}; is takes ${isValues.join(", ")}`);
      }
      return known === "not_null"
        ? { kind: "compare", ...field, operator, values: ["null"], negated: !negated }
        : { kind: "compare", ...field, operator, values: [known], negated };
    }
    const patterns = operator === "like" || operator === "ilike";
    const read = patterns ? values.map((value) => value.replaceAll("*", "%")) : values;
    return { kind: "compare", ...field, operator, values: read, negated, ...modifier };
  }

  #similar({ column, path }: Field, negated: boolean, until: "end" | "term"): Filter | null {
    const found = similarOperator(this.text, this.at);
    if (found === null) return null;
    if (path)
      throw this.invalid("compares a place inside a column with similar", "A fuzzy index is of a whole column.");
    this.at = found.end;
    const text = until === "end" ? this.#rest() : this.#value();
    if (text.length > similarLengthMax) throw this.invalid(`compares more than ${similarLengthMax} characters`);
    return { kind: "similar", column, text, part: found.part, threshold: found.threshold, negated };
  }

  #treePattern({ column, path }: Field, negated: boolean, until: "end" | "term"): Filter | null {
    const is = treePatterns.find((one) => this.take(`${one}.`));
    if (is === undefined) return null;
    if (path) throw this.invalid(`compares a place inside a column with ${is}`, "A tree is of a whole column.");
    const text = until === "end" ? this.#rest() : this.#value();
    if (text.length > treePatternLengthMax)
      throw this.invalid(`has a pattern of more than ${treePatternLengthMax} characters`);
    return { kind: "tree", column, question: { is, text }, negated };
  }

  #values(operator: FilterOperator, quantifier: boolean, until: "end" | "term"): string[] {
    if (operator === "in") return this.#list("(", ")");
    if (quantifier) return this.#list("{", "}");
    return [until === "end" ? this.#rest() : this.#value()];
  }

  group(kind: "and" | "or", negated: boolean): Filter {
    if (++this.#depth > depthMax) throw this.invalid(`is nested deeper than ${depthMax}`);
    if (!this.take("(")) throw this.invalid(`needs "(" at ${this.here()}`);
    const of = [this.#term()];
    while (this.take(",")) of.push(this.#term());
    if (!this.take(")")) throw this.invalid(`needs "," or ")" at ${this.here()}`);
    this.#depth--;
    return { kind, negated, of };
  }

  #term(): Filter {
    const start = this.at;
    const negated = this.take("not.");
    if (this.take("and(")) return this.#groupAfterName("and", negated);
    if (this.take("or(")) return this.#groupAfterName("or", negated);
    this.at = start;
    const field = this.field(wordEnds);
    if (field === null || !this.take(".")) throw this.invalid(`needs column.operator.value at ${this.here(start)}`);
    return this.condition(field, "term");
  }

  #groupAfterName(kind: "and" | "or", negated: boolean): Filter {
    this.at--;
    return this.group(kind, negated);
  }

  /** `eq.`, `eq(any).`, `fts(english).` */
  #operator(): { operator: FilterOperator; quantifier?: "any" | "all"; config?: string } {
    const word = this.word(wordEnds);
    const operator = operators.find((one) => one === word);
    if (operator === undefined) {
      const meant = nearest(word, operators);
      throw this.invalid(
        `has no operator that is known at ${brief(word)}`,
        meant === undefined
          ? `Write it as operator.value with one of ${operators.join(", ")}; for example status=eq.paid.`
          : `Did you mean ${meant}?`,
      );
    }
    const modifier = this.take("(") ? this.#modifier(operator) : {};
    if (!this.take(".")) throw this.invalid(`needs a value after ${operator}.`);
    return { operator, ...modifier };
  }

  #modifier(operator: FilterOperator): { quantifier?: "any" | "all"; config?: string } {
    const word = this.word(wordEnds);
    if (!this.take(")")) throw this.invalid(`needs ")" at ${this.here()}`);
    if (searches.includes(operator)) {
      if (word === "") throw this.invalid(`names no configuration in ${operator}()`, `Write ${operator}(english).a&b.`);
      return { config: word };
    }
    if (quantified.includes(operator) && (word === "any" || word === "all")) return { quantifier: word };
    throw this.invalid(
      `has ${operator}(${word.slice(0, 30)})`,
      `(any) and (all) stand behind ${quantified.join(", ")}; a configuration behind ${searches.join(", ")}.`,
    );
  }

  #list(open: "(" | "{", close: ")" | "}"): string[] {
    if (!this.take(open)) throw this.invalid(`needs a list as ${open}a,b,c${close}`);
    if (this.take(close)) return [];
    const values = [this.#listed(close)];
    while (this.take(",")) {
      if (values.length >= valuesMax) throw this.invalid(`lists more than ${valuesMax} values`);
      values.push(this.#listed(close));
    }
    if (!this.take(close)) throw this.invalid(`needs "," or "${close}" at ${this.here()}`);
    return values;
  }

  #listed(close: string): string {
    return this.text[this.at] === '"' ? this.quoted() : this.word(`,${close}`);
  }

  /** Up to `,` or `)`, or a text in double quotes, or an array or object in braces. */
  #value(): string {
    if (this.text[this.at] === '"') return this.quoted();
    const braces = this.text[this.at] === "{" ? this.#braces() : null;
    return braces ?? this.word(",)");
  }

  /** Null when they are not closed, or something stands behind them: then they are characters like others. */
  #braces(): string | null {
    let depth = 0;
    let inQuotes = false;
    for (let i = this.at; i < this.text.length; i++) {
      if (++this.#looked > lookedMax) throw this.invalid("has too many braces that are not closed");
      const character = this.text[i];
      if (character === "\\") i++;
      else if (character === '"') inQuotes = !inQuotes;
      else if (inQuotes) continue;
      else if (character === "{") depth++;
      else if (character === "}" && --depth === 0) {
        const end = this.text[i + 1];
        if (end !== undefined && end !== "," && end !== ")") return null;
        const value = this.text.slice(this.at, i + 1);
        this.at = i + 1;
        return value;
      }
    }
    return null;
  }

  #rest(): string {
    const value = this.text.slice(this.at);
    this.at = this.text.length;
    return value;
  }
}
