/**
 * Checks a JSON value against a schema by walking both. `format` and the content keywords are notes, as the drafts have
 * it by default. Work and depth are bounded; a schema whose alternatives multiply ends in a problem, not in a wait.
 */
import { pointerOf } from "../json-text.ts";
import type { PayloadProblem } from "../parsed-schema.ts";
import { schemaLimits, type WorkBudget, WorkExceeded } from "../schema-limits.ts";
import type { JsonNode, JsonResource, JsonSchemaModel } from "./json-node.ts";
import { equalityText, isMultiple, jsonType, lengthOf } from "./json-value.ts";

/** Nested steps of the walk: a schema that leads back to itself without moving in the value ends here. */
const stepsDeepMax = 1200;

export function validateJson(model: JsonSchemaModel, value: unknown, budget: WorkBudget): readonly PayloadProblem[] {
  const walk = new Walk(model, budget);
  try {
    walk.check(model.root, value, true);
  } catch (cause) {
    if (!(cause instanceof WorkExceeded) && !(cause instanceof RangeError)) throw cause;
    return [{ path: "", message: "checking the value takes more work than is granted" }];
  }
  return walk.problems;
}

/** What a schema has looked at in an object or array; `unevaluated…` concerns the rest. */
class Evaluated {
  allProperties = false;
  allItems = false;
  /** Items before this one. */
  itemsTo = 0;
  readonly properties = new Set<string>();
  readonly items = new Set<number>();

  add(other: Evaluated): void {
    this.allProperties ||= other.allProperties;
    this.allItems ||= other.allItems;
    this.itemsTo = Math.max(this.itemsTo, other.itemsTo);
    for (const name of other.properties) this.properties.add(name);
    for (const item of other.items) this.items.add(item);
  }
}

type Members = Readonly<Record<string, unknown>>;

class Walk {
  readonly problems: PayloadProblem[] = [];
  readonly #budget: WorkBudget;
  readonly #tracks: boolean;
  readonly #path: (string | number)[] = [];
  /** Resources that were entered on the way, the outermost first: `$dynamicRef` looks here. */
  readonly #scope: JsonResource[] = [];
  #depth = 0;

  constructor(model: JsonSchemaModel, budget: WorkBudget) {
    this.#budget = budget;
    this.#tracks = model.tracksEvaluated;
  }

  /** Null when the value does not fit. With `tell` every problem is noted, else the first ends the check. */
  check(node: JsonNode, value: unknown, tell: boolean): Evaluated | null {
    this.#budget.spend(1 + node.keywords.size);
    if (node.verdict !== null) {
      return node.verdict ? new Evaluated() : this.#fail(tell, "nothing is allowed here");
    }
    if (++this.#depth > stepsDeepMax) throw new WorkExceeded("nested too deep");
    const enters = this.#scope.at(-1) !== node.resource;
    if (enters) this.#scope.push(node.resource);
    const evaluated = new Evaluated();
    const fits = this.#keywords(node, value, evaluated, tell);
    if (enters) this.#scope.pop();
    this.#depth--;
    return fits ? evaluated : null;
  }

  #keywords(node: JsonNode, value: unknown, evaluated: Evaluated, tell: boolean): boolean {
    let fits = true;
    const steps = [this.#references, this.#general, this.#typed, this.#combined, this.#conditional, this.#unevaluated];
    for (const step of steps) {
      if (!step.call(this, node, value, evaluated, tell)) {
        fits = false;
        if (!tell) return false;
      }
    }
    return fits;
  }

  #fail(tell: boolean, message: string): null {
    if (tell && this.problems.length < schemaLimits.problemsMax) {
      this.problems.push({ path: pointerOf(this.#path), message });
    }
    return null;
  }

  /** Of a subschema on the same value. */
  #also(node: JsonNode, value: unknown, evaluated: Evaluated, tell: boolean): boolean {
    const found = this.check(node, value, tell);
    if (found !== null && this.#tracks) evaluated.add(found);
    return found !== null;
  }

  #at(step: string | number, node: JsonNode, value: unknown, tell: boolean): boolean {
    this.#path.push(step);
    const found = this.check(node, value, tell);
    this.#path.pop();
    return found !== null;
  }

  #references(node: JsonNode, value: unknown, evaluated: Evaluated, tell: boolean): boolean {
    let fits = true;
    for (const [keyword, target] of node.references) {
      const actual = keyword === "$ref" ? target : this.#dynamic(keyword, node, target);
      fits = this.#also(actual, value, evaluated, tell) && fits;
    }
    return fits;
  }

  #dynamic(keyword: string, node: JsonNode, target: JsonNode): JsonNode {
    if (keyword === "$recursiveRef") {
      if (!target.resource.recursive) return target;
      return this.#scope.find((resource) => resource.recursive)?.root ?? target;
    }
    const reference = String(node.keywords.get(keyword));
    const name = reference.slice(reference.indexOf("#") + 1);
    if (!reference.includes("#") || target.resource.dynamicAnchors.get(name) !== target) return target;
    for (const resource of this.#scope) {
      const found = resource.dynamicAnchors.get(name);
      if (found !== undefined) return found;
    }
    return target;
  }

  #general(node: JsonNode, value: unknown, _evaluated: Evaluated, tell: boolean): boolean {
    const { keywords } = node;
    let fits = true;
    const type = keywords.get("type");
    if (type !== undefined) {
      const allowed = Array.isArray(type) ? (type as string[]) : [String(type)];
      if (!allowed.some((name) => isOfType(value, name))) {
        this.#fail(tell, `${described(value)} is not of type ${allowed.join(" or ")}`);
        fits = false;
      }
    }
    const choices = keywords.get("enum");
    if (Array.isArray(choices)) {
      const text = equalityText(value, this.#budget);
      if (!choices.some((choice) => equalityText(choice, this.#budget) === text)) {
        this.#fail(tell, `${described(value)} is none of the ${choices.length} values of enum`);
        fits = false;
      }
    }
    if (keywords.has("const")) {
      const wanted = keywords.get("const");
      if (equalityText(wanted, this.#budget) !== equalityText(value, this.#budget)) {
        this.#fail(tell, `${described(value)} is not ${described(wanted)}`);
        fits = false;
      }
    }
    return fits;
  }

  #typed(node: JsonNode, value: unknown, evaluated: Evaluated, tell: boolean): boolean {
    if (typeof value === "string") return this.#string(node, value, tell);
    if (typeof value === "number") return this.#number(node, value, tell);
    if (Array.isArray(value)) return this.#array(node, value, evaluated, tell);
    if (typeof value === "object" && value !== null) return this.#object(node, value as Members, evaluated, tell);
    return true;
  }

  /** Notes a problem for each limit that is passed. */
  #limits(tell: boolean, limits: readonly (readonly [broken: boolean, message: string])[]): boolean {
    let fits = true;
    for (const [broken, message] of limits) {
      if (!broken) continue;
      this.#fail(tell, message);
      fits = false;
    }
    return fits;
  }

  #string(node: JsonNode, value: string, tell: boolean): boolean {
    const most = numberOf(node, "maxLength");
    const least = numberOf(node, "minLength");
    this.#budget.spend(value.length >> 5);
    const length = most === undefined && least === undefined ? 0 : lengthOf(value);
    return this.#limits(tell, [
      [most !== undefined && length > most, `the text has ${length} characters, at most ${most} are allowed`],
      [least !== undefined && length < least, `the text has ${length} characters, at least ${least} are needed`],
      [
        node.pattern !== null && !node.pattern.test(value, this.#budget),
        `the text does not match the pattern ${node.pattern?.source}`,
      ],
    ]);
  }

  #number(node: JsonNode, value: number, tell: boolean): boolean {
    const { keywords } = node;
    const old = node.resource.dialect === "draft-04";
    const most = numberOf(node, "maximum");
    const least = numberOf(node, "minimum");
    const below = old
      ? keywords.get("exclusiveMaximum") === true
        ? most
        : undefined
      : numberOf(node, "exclusiveMaximum");
    const above = old
      ? keywords.get("exclusiveMinimum") === true
        ? least
        : undefined
      : numberOf(node, "exclusiveMinimum");
    const unit = numberOf(node, "multipleOf");
    return this.#limits(tell, [
      [most !== undefined && value > most, `${value} is above the maximum ${most}`],
      [least !== undefined && value < least, `${value} is below the minimum ${least}`],
      [below !== undefined && value >= below, `${value} is not below ${below}`],
      [above !== undefined && value <= above, `${value} is not above ${above}`],
      [unit !== undefined && !isMultiple(value, unit), `${value} is no multiple of ${unit}`],
    ]);
  }

  #array(node: JsonNode, value: readonly unknown[], evaluated: Evaluated, tell: boolean): boolean {
    const most = numberOf(node, "maxItems");
    const least = numberOf(node, "minItems");
    let fits = this.#limits(tell, [
      [most !== undefined && value.length > most, `the array has ${value.length} items, at most ${most} are allowed`],
      [
        least !== undefined && value.length < least,
        `the array has ${value.length} items, at least ${least} are needed`,
      ],
      [node.keywords.get("uniqueItems") === true && !this.#isUnique(value), "the array has an item twice"],
    ]);
    const first = node.lists.get("prefixItems") ?? node.lists.get("items") ?? [];
    const rest = node.lists.has("items") ? node.single.get("additionalItems") : node.single.get("items");
    const to = rest === undefined ? Math.min(first.length, value.length) : value.length;
    for (let i = 0; i < to && (fits || tell); i++) {
      const item = first[i] ?? rest;
      if (item !== undefined) fits = this.#at(i, item, value[i], tell) && fits;
    }
    evaluated.itemsTo = Math.max(evaluated.itemsTo, to);
    evaluated.allItems ||= rest !== undefined;
    return this.#contains(node, value, evaluated, tell) && fits;
  }

  #isUnique(value: readonly unknown[]): boolean {
    return new Set(value.map((item) => equalityText(item, this.#budget))).size === value.length;
  }

  #contains(node: JsonNode, value: readonly unknown[], evaluated: Evaluated, tell: boolean): boolean {
    const wanted = node.single.get("contains");
    if (wanted === undefined) return true;
    let count = 0;
    value.forEach((item, i) => {
      if (!this.#at(i, wanted, item, false)) return;
      count++;
      if (node.resource.dialect === "2020-12") evaluated.items.add(i);
    });
    const least = numberOf(node, "minContains") ?? 1;
    const most = numberOf(node, "maxContains");
    return this.#limits(tell, [
      [count < least, `${count} items are as "contains" asks, at least ${least} are needed`],
      [most !== undefined && count > most, `${count} items are as "contains" asks, at most ${most} are allowed`],
    ]);
  }

  #object(node: JsonNode, value: Members, evaluated: Evaluated, tell: boolean): boolean {
    const names = Object.keys(value);
    const most = numberOf(node, "maxProperties");
    const least = numberOf(node, "minProperties");
    let fits = this.#limits(tell, [
      [
        most !== undefined && names.length > most,
        `the object has ${names.length} members, at most ${most} are allowed`,
      ],
      [
        least !== undefined && names.length < least,
        `the object has ${names.length} members, at least ${least} are needed`,
      ],
    ]);
    const required = node.keywords.get("required");
    if (Array.isArray(required)) {
      this.#budget.spend(required.length);
      const missing = (required as string[]).filter((name) => !Object.hasOwn(value, name));
      fits =
        this.#limits(
          tell,
          missing.map((name) => [true, `the member "${name}" is missing`] as const),
        ) && fits;
    }
    for (const name of names) {
      if (!fits && !tell) return false;
      fits = this.#member(node, name, value[name], evaluated, tell) && fits;
    }
    return this.#dependencies(node, value, evaluated, tell) && fits;
  }

  #member(node: JsonNode, name: string, value: unknown, evaluated: Evaluated, tell: boolean): boolean {
    this.#budget.spend(1);
    let fits = true;
    let known = false;
    const own = node.maps.get("properties")?.get(name);
    if (own !== undefined) {
      known = true;
      fits = this.#at(name, own, value, tell);
    }
    for (const [pattern, schema] of node.maps.get("patternProperties") ?? []) {
      if (!node.propertyPatterns.get(pattern)?.test(name, this.#budget)) continue;
      known = true;
      fits = this.#at(name, schema, value, tell) && fits;
    }
    const others = node.single.get("additionalProperties");
    if (!known && others !== undefined) {
      known = true;
      if (others.verdict === false) {
        this.#path.push(name);
        this.#fail(tell, "the schema does not know this member");
        this.#path.pop();
        fits = false;
      } else fits = this.#at(name, others, value, tell);
    }
    if (known && this.#tracks) evaluated.properties.add(name);
    const names = node.single.get("propertyNames");
    return (names === undefined || this.#at(name, names, name, tell)) && fits;
  }

  #dependencies(node: JsonNode, value: Members, evaluated: Evaluated, tell: boolean): boolean {
    let fits = true;
    for (const keyword of ["dependencies", "dependentRequired"]) {
      for (const [name, needed] of Object.entries((node.keywords.get(keyword) ?? {}) as Members)) {
        if (!Array.isArray(needed) || !Object.hasOwn(value, name)) continue;
        const missing = (needed as string[]).filter((other) => !Object.hasOwn(value, other));
        const limits = missing.map((other) => [true, `the member "${other}" is missing beside "${name}"`] as const);
        fits = this.#limits(tell, limits) && fits;
      }
    }
    for (const keyword of ["dependencies", "dependentSchemas"]) {
      for (const [name, schema] of node.maps.get(keyword) ?? []) {
        if (Object.hasOwn(value, name)) fits = this.#also(schema, value, evaluated, tell) && fits;
      }
    }
    return fits;
  }

  #combined(node: JsonNode, value: unknown, evaluated: Evaluated, tell: boolean): boolean {
    let fits = true;
    for (const part of node.lists.get("allOf") ?? []) fits = this.#also(part, value, evaluated, tell) && fits;
    const any = node.lists.get("anyOf");
    if (any !== undefined) {
      // Without tracking the first that fits is enough.
      const matches = this.#matches(any, value, evaluated, this.#tracks ? Number.POSITIVE_INFINITY : 1);
      if (matches === 0) fits = this.#noneOf(any, value, "anyOf", tell);
    }
    const one = node.lists.get("oneOf");
    if (one !== undefined) {
      const matches = this.#matches(one, value, evaluated, 2);
      if (matches === 0) fits = this.#noneOf(one, value, "oneOf", tell);
      if (matches > 1) {
        this.#fail(tell, "the value fits more than one alternative of oneOf");
        fits = false;
      }
    }
    const not = node.single.get("not");
    if (not !== undefined && this.check(not, value, false) !== null) {
      this.#fail(tell, "the value fits what is forbidden by not");
      fits = false;
    }
    return fits;
  }

  #matches(parts: readonly JsonNode[], value: unknown, evaluated: Evaluated, enough: number): number {
    let count = 0;
    for (const part of parts) {
      if (count >= enough) break;
      if (this.#also(part, value, evaluated, false)) count++;
    }
    return count;
  }

  /** With a single alternative that is of the value's type, its own problems say more. */
  #noneOf(parts: readonly JsonNode[], value: unknown, keyword: string, tell: boolean): false {
    const near = parts.filter((part) => {
      const type = typeOf(part);
      return type !== undefined && isOfType(value, type);
    });
    const [only] = near;
    if (tell && near.length === 1 && only !== undefined) this.check(only, value, true);
    else this.#fail(tell, `${described(value)} fits none of the ${parts.length} alternatives of ${keyword}`);
    return false;
  }

  #conditional(node: JsonNode, value: unknown, evaluated: Evaluated, tell: boolean): boolean {
    const condition = node.single.get("if");
    if (condition === undefined) return true;
    const then = node.single.get(this.#also(condition, value, evaluated, false) ? "then" : "else");
    return then === undefined || this.#also(then, value, evaluated, tell);
  }

  #unevaluated(node: JsonNode, value: unknown, evaluated: Evaluated, tell: boolean): boolean {
    let fits = true;
    const members = node.single.get("unevaluatedProperties");
    if (members !== undefined && jsonType(value) === "object" && !evaluated.allProperties) {
      for (const [name, member] of Object.entries(value as Members)) {
        if (!evaluated.properties.has(name)) fits = this.#at(name, members, member, tell) && fits;
      }
      evaluated.allProperties = true;
    }
    const items = node.single.get("unevaluatedItems");
    if (items !== undefined && Array.isArray(value) && !evaluated.allItems) {
      for (let i = evaluated.itemsTo; i < value.length; i++) {
        if (!evaluated.items.has(i)) fits = this.#at(i, items, value[i], tell) && fits;
      }
      evaluated.allItems = true;
    }
    return fits;
  }
}

function numberOf(node: JsonNode, keyword: string): number | undefined {
  const value = node.keywords.get(keyword);
  return typeof value === "number" ? value : undefined;
}

/** The one type that a subschema names, itself or where its $ref leads. */
function typeOf(node: JsonNode): string | undefined {
  let at: JsonNode | undefined = node;
  for (let steps = 0; at !== undefined && steps < 10; steps++) {
    const type = at.keywords.get("type");
    if (typeof type === "string") return type;
    at = at.references.get("$ref");
  }
  return undefined;
}

function isOfType(value: unknown, type: string): boolean {
  if (type === "integer") return typeof value === "number" && Number.isInteger(value);
  return jsonType(value) === type;
}

/** A value for a sentence: short ones as they are. */
function described(value: unknown): string {
  const type = jsonType(value);
  if (type === "object" || type === "array") return `the ${type}`;
  if (typeof value === "string" && value.length > 60) return "the text";
  return JSON.stringify(value);
}
