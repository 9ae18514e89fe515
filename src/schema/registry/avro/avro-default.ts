/** Defaults of Avro fields: whether one fits, and what it is as a value. */
import type { JsonToken } from "../../json-token.ts";
import type { AvroType } from "./avro-type.ts";

const intMax = 2n ** 31n - 1n;
const longMax = 2n ** 63n - 1n;
const integerForm = /^-?(?:0|[1-9]\d{0,18})$/;
const beyondBytes = /[\u0100-\uffff]/;

/** True when JSON's value is one of the type. Unions take a value of any branch, untagged. */
export function defaultFits(type: AvroType, token: JsonToken): boolean {
  switch (type.kind) {
    case "null":
      return token.kind === "null";
    case "boolean":
      return token.kind === "boolean";
    case "int":
      return isInteger(token, intMax);
    case "long":
      return isInteger(token, longMax);
    case "float":
    case "double":
      return token.kind === "number";
    case "string":
      return token.kind === "string";
    case "bytes":
      return token.kind === "string" && !beyondBytes.test(token.value);
    case "fixed":
      return token.kind === "string" && token.value.length === type.size && !beyondBytes.test(token.value);
    case "enum":
      return token.kind === "string" && type.symbols.includes(token.value);
    case "array":
      return token.kind === "array" && token.items.every((item) => defaultFits(type.items, item));
    case "map":
      return token.kind === "object" && [...token.members.values()].every((value) => defaultFits(type.values, value));
    case "union":
      return type.branches.some((branch) => defaultFits(branch, token));
    default:
      return (
        token.kind === "object" &&
        type.fields.every((field) => {
          const value = token.members.get(field.name);
          return value === undefined ? field.default !== undefined : defaultFits(field.type, value);
        })
      );
  }
}

function isInteger(token: JsonToken, max: bigint): boolean {
  if (token.kind !== "number" || !integerForm.test(token.text)) return false;
  const value = BigInt(token.text);
  return value <= max && value >= -max - 1n;
}
