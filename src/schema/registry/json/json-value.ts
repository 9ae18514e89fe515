/** JSON values as JSON Schema compares them: `1` and `1.0` are one number, and members have no order. */
import type { WorkBudget } from "../schema-limits.ts";

/** A text that two values share when they are equal. */
export function equalityText(value: unknown, budget: WorkBudget): string {
  budget.spend(1);
  if (typeof value === "string") {
    budget.spend(value.length >> 3);
    return JSON.stringify(value);
  }
  if (typeof value === "number") return String(value);
  if (Array.isArray(value)) return `[${value.map((item) => equalityText(item, budget)).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${equalityText(member, budget)}`).join(",")}}`;
  }
  return String(value);
}

/** Exact, in the decimal digits that the numbers are printed with. */
export function isMultiple(value: number, of: number): boolean {
  if (!Number.isFinite(value) || !Number.isFinite(of) || of === 0) return false;
  if (Number.isInteger(value) && Number.isInteger(of) && Number.isSafeInteger(value)) return value % of === 0;
  const a = decimal(value);
  const b = decimal(of);
  const scale = Math.max(a.scale, b.scale);
  return (a.digits * 10n ** BigInt(scale - a.scale)) % (b.digits * 10n ** BigInt(scale - b.scale)) === 0n;
}

/** `digits` / 10^`scale`; a double has no exponent past 324, so that this stays small. */
function decimal(value: number): { readonly digits: bigint; readonly scale: number } {
  const [mantissa = "0", exponent = "0"] = String(value).split("e");
  const [whole = "0", fraction = ""] = mantissa.split(".");
  const scale = fraction.length - Number(exponent);
  const digits = BigInt(whole + fraction);
  return scale >= 0 ? { digits, scale } : { digits: digits * 10n ** BigInt(-scale), scale: 0 };
}

/** In code points. */
export function lengthOf(text: string): number {
  let length = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const pair =
      code >= 0xd800 && code < 0xdc00 && at + 1 < text.length && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00;
    if (pair) at++;
    length++;
  }
  return length;
}

export type JsonType = "null" | "boolean" | "number" | "string" | "array" | "object";

export function jsonType(value: unknown): JsonType {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value as JsonType;
}
