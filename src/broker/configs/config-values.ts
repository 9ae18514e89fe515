/**
 * The texts that Kafka's configs have for values: how each type is read, checked and written, with Kafka's sentences for what
 * cannot be (its ConfigDef). 64-bit numbers beyond 2^53 come as near as a number can; what was written is kept as text.
 */

/** As DescribeConfigs numbers them. */
export const configType = {
  boolean: 1,
  string: 2,
  int: 3,
  short: 4,
  long: 5,
  double: 6,
  list: 7,
  class: 8,
  password: 9,
} as const;
export type ConfigTypeName = keyof typeof configType;

export interface ConfigForm {
  readonly name: string;
  readonly type: ConfigTypeName;
  /** Of a number. */
  readonly min?: number;
  readonly max?: number;
  /** Taken whatever the bounds are. */
  readonly also?: number;
  /** What a text, or each item of a list, is one of. */
  readonly oneOf?: readonly string[];
  /** A list of replicas whose traffic is throttled. */
  readonly isReplicas?: boolean;
}

export type ConfigValue = boolean | number | string | readonly string[];

/** `text` is the value as Kafka prints it. */
export type ReadConfig = { readonly value: ConfigValue; readonly text: string } | { readonly error: string };

export const longMax = "9223372036854775807";
const integerForm = /^[+-]?\d{1,40}$/;
const doubleForm = /^[+-]?(\d{1,400}\.?\d{0,400}|\.\d{1,400})([eE][+-]?\d{1,10})?[dDfF]?$/;
const bits: Readonly<Partial<Record<ConfigTypeName, bigint>>> = { short: 15n, int: 31n, long: 63n };
const textLengthMax = 32_768;

export function readConfig(form: ConfigForm, given: string): ReadConfig {
  if (given.length > textLengthMax) {
    return {
      error: `Invalid value of ${given.length} characters for configuration ${form.name}: Value must have no more than ${textLengthMax}`,
    };
  }
  const text = given.trim();
  switch (form.type) {
    case "boolean":
      return readBoolean(form, text, given);
    case "short":
    case "int":
    case "long":
      return readInteger(form, text, given);
    case "double":
      return readDouble(form, text, given);
    case "list":
      return readList(form, text);
    default:
      return oneOf(form, text) ?? { value: text, text };
  }
}

function invalid({ name }: ConfigForm, shown: string, why: string): { readonly error: string } {
  return { error: `Invalid value ${shown} for configuration ${name}: ${why}` };
}

function readBoolean(form: ConfigForm, text: string, given: string): ReadConfig {
  const lower = text.toLowerCase();
  if (lower !== "true" && lower !== "false") return invalid(form, given, "Expected value to be either true or false");
  return { value: lower === "true", text: lower };
}

function readInteger(form: ConfigForm, text: string, given: string): ReadConfig {
  const limit = 1n << (bits[form.type] ?? 63n);
  const whole = integerForm.test(text) ? BigInt(text.replace(/^\+/, "")) : undefined;
  if (whole === undefined || whole >= limit || whole < -limit) {
    return invalid(form, given, `Not a number of type ${form.type.toUpperCase()}`);
  }
  const shown = String(whole);
  const value = Number(whole);
  const clamped = Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, value));
  return outOfBounds(form, clamped, shown) ?? { value: clamped, text: shown };
}

function readDouble(form: ConfigForm, text: string, given: string): ReadConfig {
  const value = doubleForm.test(text) ? Number(text.replace(/[dDfF]$/, "")) : Number.NaN;
  if (!Number.isFinite(value)) return invalid(form, given, "Not a number of type DOUBLE");
  const shown = Number.isInteger(value) ? `${value}.0` : String(value);
  return outOfBounds(form, value, shown) ?? { value, text: shown };
}

function readList(form: ConfigForm, text: string): ReadConfig {
  const items = text === "" ? [] : text.split(",").map((item) => item.trim());
  const shown = `[${items.join(", ")}]`;
  if (form.isReplicas)
    return areReplicas(items) ? { value: items, text: items.join(",") } : invalid(form, shown, replicasForm(form));
  if (items.includes("")) return { error: `Configuration '${form.name}' values must not be empty.` };
  const distinct = [...new Set(items)];
  for (const item of distinct) {
    const fault = oneOf(form, item);
    if (fault) return fault;
  }
  return { value: distinct, text: distinct.join(",") };
}

function areReplicas(items: readonly string[]): boolean {
  return (
    items.length === 0 || (items.length === 1 && items[0] === "*") || items.every((item) => /^\d+:\d+$/.test(item))
  );
}

function replicasForm({ name }: ConfigForm): string {
  return `${name} must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...`;
}

function oneOf(form: ConfigForm, text: string): { readonly error: string } | undefined {
  if (!form.oneOf || form.oneOf.includes(text)) return undefined;
  return invalid(form, text, `String must be one of: ${form.oneOf.join(", ")}`);
}

function outOfBounds(form: ConfigForm, value: number, shown: string): { readonly error: string } | undefined {
  const { min, max, also } = form;
  if (also !== undefined) {
    if (value === also || (value >= (min ?? value) && value <= (max ?? value))) return undefined;
    return invalid(form, shown, `Value must be between ${min} and ${max} or equal to ${also}`);
  }
  if (min !== undefined && value < min) return invalid(form, shown, `Value must be at least ${min}`);
  if (max !== undefined && value > max) return invalid(form, shown, `Value must be no more than ${max}`);
  return undefined;
}
