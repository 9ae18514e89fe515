/** The keywords of JSON Schema that mean something here: since and until which draft, and what they must look like. */
import { atLeast, type Dialect } from "./json-node.ts";

type Shape =
  | "schema"
  | "schemas"
  | "schemaMap"
  | "schemaOrSchemas"
  | "dependencies"
  | "string"
  | "boolean"
  | "number"
  | "positive"
  | "count"
  | "strings"
  | "stringsMap"
  | "array"
  | "type"
  | "numberOrBoolean"
  | "any";

interface Keyword {
  readonly shape: Shape;
  readonly since?: Dialect;
  readonly until?: Dialect;
}

const keywords: Readonly<Record<string, Keyword>> = {
  $id: { shape: "string", since: "draft-06" },
  id: { shape: "string", until: "draft-04" },
  $ref: { shape: "string" },
  $recursiveRef: { shape: "string", since: "2019-09", until: "2019-09" },
  $dynamicRef: { shape: "string", since: "2020-12" },
  title: { shape: "string" },
  description: { shape: "string" },
  default: { shape: "any" },
  format: { shape: "string" },
  type: { shape: "type" },
  enum: { shape: "array" },
  const: { shape: "any", since: "draft-06" },
  allOf: { shape: "schemas" },
  anyOf: { shape: "schemas" },
  oneOf: { shape: "schemas" },
  not: { shape: "schema" },
  if: { shape: "schema", since: "draft-07" },
  // biome-ignore lint/suspicious/noThenProperty: the keyword's name
  then: { shape: "schema", since: "draft-07" },
  else: { shape: "schema", since: "draft-07" },
  maxLength: { shape: "count" },
  minLength: { shape: "count" },
  pattern: { shape: "string" },
  maximum: { shape: "number" },
  minimum: { shape: "number" },
  exclusiveMaximum: { shape: "numberOrBoolean" },
  exclusiveMinimum: { shape: "numberOrBoolean" },
  multipleOf: { shape: "positive" },
  required: { shape: "strings" },
  properties: { shape: "schemaMap" },
  patternProperties: { shape: "schemaMap" },
  additionalProperties: { shape: "schema" },
  unevaluatedProperties: { shape: "schema", since: "2019-09" },
  propertyNames: { shape: "schema", since: "draft-06" },
  maxProperties: { shape: "count" },
  minProperties: { shape: "count" },
  dependencies: { shape: "dependencies" },
  dependentRequired: { shape: "stringsMap", since: "2019-09" },
  dependentSchemas: { shape: "schemaMap", since: "2019-09" },
  items: { shape: "schemaOrSchemas" },
  prefixItems: { shape: "schemas", since: "2020-12" },
  additionalItems: { shape: "schema", until: "2019-09" },
  unevaluatedItems: { shape: "schema", since: "2019-09" },
  contains: { shape: "schema", since: "draft-06" },
  maxContains: { shape: "count", since: "2019-09" },
  minContains: { shape: "count", since: "2019-09" },
  maxItems: { shape: "count" },
  minItems: { shape: "count" },
  uniqueItems: { shape: "boolean" },
  definitions: { shape: "schemaMap" },
  $defs: { shape: "schemaMap" },
};

/** Undefined for a keyword that the draft does not have. */
export function keywordShape(name: string, dialect: Dialect): Shape | undefined {
  if (!Object.hasOwn(keywords, name)) return undefined;
  const keyword = keywords[name] as Keyword;
  if (keyword.since !== undefined && !atLeast(dialect, keyword.since)) return undefined;
  if (keyword.until !== undefined && !atLeast(keyword.until, dialect)) return undefined;
  if (name === "items" && dialect === "2020-12") return "schema";
  if (keyword.shape === "numberOrBoolean") return dialect === "draft-04" ? "boolean" : "number";
  return keyword.shape;
}

const types: ReadonlySet<unknown> = new Set(["null", "boolean", "integer", "number", "string", "object", "array"]);

/** What is wrong with a keyword's value, subschemas apart; null when nothing is. */
export function keywordFault(name: string, shape: Shape, value: unknown): string | null {
  const isStrings = (list: unknown): boolean => Array.isArray(list) && list.every((item) => typeof item === "string");
  switch (shape) {
    case "string":
      return typeof value === "string" ? null : `"${name}" is no string`;
    case "boolean":
      return typeof value === "boolean" ? null : `"${name}" is neither true nor false`;
    case "number":
      return typeof value === "number" ? null : `"${name}" is no number`;
    case "positive":
      return typeof value === "number" && value > 0 ? null : `"${name}" is no number above 0`;
    case "count":
      return Number.isInteger(value) && (value as number) >= 0 ? null : `"${name}" is no whole number from 0`;
    case "array":
      return Array.isArray(value) ? null : `"${name}" is no array`;
    case "strings":
      return isStrings(value) ? null : `"${name}" is no array of strings`;
    case "stringsMap":
      return isObject(value) && Object.values(value).every(isStrings)
        ? null
        : `"${name}" has more than arrays of strings`;
    case "type": {
      const list = Array.isArray(value) ? value : [value];
      const wrong = list.find((type) => !types.has(type));
      if (list.length === 0) return '"type" is empty';
      return wrong === undefined ? null : `the type ${JSON.stringify(wrong)} does not exist`;
    }
    case "schemas":
      return Array.isArray(value) && value.length > 0 ? null : `"${name}" is no array of schemas`;
    case "schemaMap":
    case "dependencies":
      return isObject(value) ? null : `"${name}" is no object`;
    default:
      return null;
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
