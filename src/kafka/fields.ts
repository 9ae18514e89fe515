/**
 * The language that Kafka's messages are described in: a field is a value that says its type, the versions that have
 * it, and its default; the types of messages follow from the fields. Names, numbers and versions are those of Kafka
 * 4.3.1's message specifications (Apache-2.0).
 *
 * Always true: a field that a version does not have, or that was left out, has its default: the one that is written
 * here, else null where null is allowed, else the type's zero, empty text or empty array. Null in a version that has no null
 * for the field is written as the empty value.
 * Not here: how a message stands in bytes (layout.ts, decode.ts, encode.ts).
 */

export interface FieldOptions<Value> {
  /** The first version that has the field; 0 unless it is said. */
  readonly from?: number;
  /** The last version that has the field. */
  readonly to?: number;
  /** The first version in which it may be null. */
  readonly nullable?: number;
  /** Makes it a tagged field of this number: absent from the bytes while it has its default. */
  readonly tag?: number;
  readonly default?: Value;
}

export type ScalarKind =
  | "bool"
  | "int8"
  | "int16"
  | "int32"
  | "int64"
  | "uint16"
  | "uint32"
  | "float64"
  | "string"
  | "uuid"
  | "bytes"
  | "records";

declare const input: unique symbol;

/** `Value` is what decoding answers, `Input` what encoding takes; `Optional` says that an input may leave it out. */
interface FieldBase<Value, Input, Optional extends boolean> {
  readonly from: number;
  readonly to: number;
  readonly nullableFrom: number;
  readonly tag: number | null;
  readonly default: Value;
  readonly optional: Optional;
  /** For the type checker alone. */
  readonly [input]?: Input;
}

export interface ScalarField<Value = unknown, Input = unknown, Optional extends boolean = boolean>
  extends FieldBase<Value, Input, Optional> {
  readonly kind: ScalarKind;
}

export interface ArrayField<Value = unknown, Input = unknown, Optional extends boolean = boolean>
  extends FieldBase<Value, Input, Optional> {
  readonly kind: "array";
  readonly element: Field;
}

export interface StructField<Value = unknown, Input = unknown, Optional extends boolean = boolean>
  extends FieldBase<Value, Input, Optional> {
  readonly kind: "struct";
  /** In the order of the wire. */
  readonly fields: Fields;
}

export type Field = ScalarField | ArrayField | StructField;
export type Fields = Readonly<Record<string, Field>>;

export type Decoded<F extends Field> = F["default"];
export type Input<F extends Field> = Exclude<F[typeof input], undefined>;

type DecodedFields<Fs extends Fields> = { readonly [Name in keyof Fs]: Decoded<Fs[Name]> };
type OptionalNames<Fs extends Fields> = {
  [Name in keyof Fs]: Fs[Name]["optional"] extends true ? Name : never;
}[keyof Fs];
type InputFields<Fs extends Fields> = { readonly [Name in Exclude<keyof Fs, OptionalNames<Fs>>]: Input<Fs[Name]> } & {
  readonly [Name in OptionalNames<Fs>]?: Input<Fs[Name]> | undefined;
};

type Nullable<Options, Value> = Options extends { readonly nullable: number } ? Value | null : Value;
type HasDefault = { readonly [Name in keyof FieldOptions<unknown>]: Required<Pick<FieldOptions<unknown>, Name>> };
type IsOptional<Options> = Options extends HasDefault[keyof HasDefault] ? true : false;
type Scalar<Value, Options, Given = Value> = ScalarField<
  Nullable<Options, Value>,
  Nullable<Options, Given>,
  IsOptional<Options>
>;

type NumberOptions = Omit<FieldOptions<number>, "nullable">;
type BoolOptions = Omit<FieldOptions<boolean>, "nullable">;
type StringOptions = FieldOptions<string | null>;
type PlainOptions = Omit<FieldOptions<never>, "default">;

export function bool<const O extends BoolOptions>(options?: O): Scalar<boolean, O> {
  return scalar("bool", false, options);
}

export function int8<const O extends NumberOptions>(options?: O): Scalar<number, O> {
  return scalar("int8", 0, options);
}

export function int16<const O extends NumberOptions>(options?: O): Scalar<number, O> {
  return scalar("int16", 0, options);
}

export function int32<const O extends NumberOptions>(options?: O): Scalar<number, O> {
  return scalar("int32", 0, options);
}

/** Exact within 2^53 either side of zero, beyond it the nearest number; 2^63 stands for the largest value of all. */
export function int64<const O extends NumberOptions>(options?: O): Scalar<number, O> {
  return scalar("int64", 0, options);
}

export function uint16<const O extends NumberOptions>(options?: O): Scalar<number, O> {
  return scalar("uint16", 0, options);
}

export function uint32<const O extends NumberOptions>(options?: O): Scalar<number, O> {
  return scalar("uint32", 0, options);
}

export function float64<const O extends NumberOptions>(options?: O): Scalar<number, O> {
  return scalar("float64", 0, options);
}

export function string<const O extends StringOptions>(options?: O): Scalar<string, O> {
  return scalar("string", "", options);
}

/** Lower-case hexadecimal digits with dashes. */
export function uuid<const O extends Omit<PlainOptions, "nullable">>(options?: O): Scalar<string, O> {
  return scalar("uuid", zeroUuid, options);
}

/** Decoded as a view of the frame. */
export function bytes<const O extends PlainOptions>(options?: O): Scalar<Buffer, O, Uint8Array> {
  return scalar("bytes", noBytes, options);
}

/** Record batches: decoded as a view of the frame; encoded from one buffer or several, which are not copied. */
export function records<const O extends PlainOptions>(options?: O): Scalar<Buffer, O, Buffer | readonly Buffer[]> {
  return scalar("records", noBytes, options);
}

export function array<F extends Field, const O extends PlainOptions>(
  element: F,
  options?: O,
): ArrayField<Nullable<O, readonly Decoded<F>[]>, Nullable<O, readonly Input<F>[]>, IsOptional<O>> {
  const base = withDefaults<readonly Decoded<F>[], O>(options, Object.freeze([]));
  return { kind: "array", element, ...base } as ReturnType<typeof array<F, O>>;
}

/** A message, or a part of one. As a field its default has the defaults of its fields. */
export function struct<const Fs extends Fields, const O extends PlainOptions>(
  fields: Fs,
  options?: O,
): StructField<Nullable<O, DecodedFields<Fs>>, Nullable<O, InputFields<Fs>>, IsOptional<O>> & { readonly fields: Fs } {
  const empty = Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.default]));
  const base = withDefaults<DecodedFields<Fs>, O>(options, Object.freeze(empty) as DecodedFields<Fs>);
  return { kind: "struct", fields, ...base } as ReturnType<typeof struct<Fs, O>>;
}

export const zeroUuid = "00000000-0000-0000-0000-000000000000";
/** What an int64 of 2^63 - 1 is as a number. */
export const int64Max = 2 ** 63;
const noBytes = Buffer.alloc(0);

function scalar<Value, O, Given>(kind: ScalarKind, zero: Value, options: O | undefined): Scalar<Value, O, Given> {
  return { kind, ...withDefaults<Value, O>(options, zero) } as unknown as Scalar<Value, O, Given>;
}

function withDefaults<Value, O>(options: O | undefined, zero: Value): FieldBase<Value | null, unknown, boolean> {
  const given: FieldOptions<Value | null> = options ?? {};
  const { from = 0, to = Number.POSITIVE_INFINITY, nullable = Number.POSITIVE_INFINITY, tag = null } = given;
  const value = given.default !== undefined ? given.default : given.nullable !== undefined ? null : zero;
  return { from, to, nullableFrom: nullable, tag, default: value, optional: Object.keys(given).length > 0 };
}

/** One API: its requests and responses in all the versions that are served. */
export interface Api {
  readonly key: number;
  /** As Kafka calls it, without "Request". */
  readonly name: string;
  /** The lowest and the highest. */
  readonly versions: readonly [number, number];
  /** The lowest that clients are told, where that is lower than what is served. */
  readonly advertisedFrom?: number;
  /** The first version with compact lengths and tagged fields; null when there is none. */
  readonly flexibleFrom: number | null;
  readonly request: StructField;
  readonly response: StructField;
}

export type RequestOf<A extends Api> = Decoded<A["request"]>;
export type RequestInput<A extends Api> = Input<A["request"]>;
export type ResponseOf<A extends Api> = Decoded<A["response"]>;
export type ResponseInput<A extends Api> = Input<A["response"]>;

/** Checks the shape and keeps the exact type. */
export function api<const A extends Api>(definition: A): A {
  return definition;
}
