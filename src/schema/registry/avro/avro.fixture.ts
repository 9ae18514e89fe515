/** Random Avro schemas, values of theirs in Avro's JSON, and changes that people make. */
import avsc from "avsc";
import fc from "fast-check";

type Json = unknown;

interface Field {
  readonly name: string;
  readonly type: Json;
  readonly default?: Json;
}

const primitives = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/** Names are given anew after generation, so that none stands twice. */
export function anySchema(): fc.Arbitrary<Json> {
  const { schema } = fc.letrec<{ schema: Json }>((tie) => ({
    schema: fc.oneof(
      { maxDepth: 2, withCrossShrink: true },
      fc.constantFrom(...primitives),
      fc.record({ type: fc.constant("enum"), symbols: fc.subarray(["A", "B", "C", "D"], { minLength: 1 }) }),
      fc.record({ type: fc.constant("fixed"), size: fc.nat(4) }),
      fc.record({ type: fc.constant("array"), items: tie("schema") }),
      fc.record({ type: fc.constant("map"), values: tie("schema") }),
      fc
        .uniqueArray(tie("schema"), { selector: unionName, minLength: 1, maxLength: 4 })
        .map((branches) => branches.filter((branch) => !Array.isArray(branch)))
        .filter((branches) => branches.length > 0),
      fc
        .uniqueArray(fc.record({ name: fc.constantFrom("a", "b", "c", "d"), type: tie("schema") }), {
          selector: ({ name }) => name,
          maxLength: 4,
        })
        .map((fields) => ({ type: "record", fields })),
    ),
  }));
  return schema.map((made) => named(made));
}

function unionName(schema: Json): string {
  if (typeof schema === "string") return schema;
  if (Array.isArray(schema)) return "union";
  return (schema as { type: string }).type;
}

/** The name of a type is its place, so that schemas that are alike have the same names. */
function named(schema: Json, place = "T"): Json {
  if (typeof schema === "string") return schema;
  if (Array.isArray(schema)) return schema.map((branch, i) => named(branch, `${place}_${i}`));
  const type = schema as { type: string; items?: Json; values?: Json; fields?: Field[] };
  switch (type.type) {
    case "array":
      return { ...type, items: named(type.items, `${place}_i`) };
    case "map":
      return { ...type, values: named(type.values, `${place}_v`) };
    case "record":
      return {
        ...type,
        name: place,
        fields: (type.fields ?? []).map((field) => ({ ...field, type: named(field.type, `${place}_${field.name}`) })),
      };
    default:
      return { ...type, name: place };
  }
}

/** One of the changes that a schema goes through: some are compatible, some are not. */
export function changedSchema(schema: Json): fc.Arbitrary<Json> {
  return fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 12, maxLength: 12 }).map((rolls) => {
    let at = 0;
    return change(schema, () => rolls[at++ % rolls.length] as number);
  });
}

const promoted: Readonly<Record<string, string>> = {
  int: "long",
  long: "double",
  float: "double",
  bytes: "string",
  string: "bytes",
};

function change(schema: Json, roll: () => number): Json {
  if (typeof schema === "string") {
    if (roll() < 0.3) return promoted[schema] ?? schema;
    return roll() < 0.2 && schema !== "null" ? ["null", schema] : schema;
  }
  if (Array.isArray(schema)) {
    const branches = schema.filter(() => roll() < 0.9);
    return roll() < 0.2 && !branches.includes("null") ? [...branches, "null"] : branches;
  }
  const type = schema as { type: string; items?: Json; values?: Json; fields?: Field[]; symbols?: string[] };
  if (type.type === "array") return { ...type, items: change(type.items, roll) };
  if (type.type === "map") return { ...type, values: change(type.values, roll) };
  if (type.type === "enum") {
    const symbols = roll() < 0.5 ? [...new Set([...(type.symbols ?? []), "E"])] : (type.symbols ?? []).slice(0, 1);
    return roll() < 0.5 ? { ...type, symbols, default: symbols[0] } : { ...type, symbols };
  }
  if (type.type !== "record") return schema;
  const kept = (type.fields ?? []).filter(() => roll() < 0.8);
  const fields = kept.map((field) => ({ name: field.name, type: change(field.type, roll) }));
  const added = { name: "added", type: ["null", "string"], ...(roll() < 0.8 ? { default: null } : {}) };
  return { ...type, fields: roll() < 0.5 ? [...fields, added] : fields };
}

/** In Avro's JSON, with the tags of unions. */
export function anyDatum(schema: Json): fc.Arbitrary<Json> {
  if (Array.isArray(schema)) {
    return fc.oneof(
      ...schema.map((branch) =>
        branch === "null" ? fc.constant(null) : anyDatum(branch).map((value) => ({ [tagOf(branch)]: value })),
      ),
    );
  }
  const type = typeof schema === "string" ? { type: schema } : (schema as { type: string });
  switch (type.type) {
    case "null":
      return fc.constant(null);
    case "boolean":
      return fc.boolean();
    case "int":
      return fc.integer();
    case "long":
      return fc.maxSafeInteger();
    case "float":
      return fc.float({ noNaN: true, noDefaultInfinity: true }).map((value) => Math.fround(value));
    case "double":
      return fc.double({ noNaN: true, noDefaultInfinity: true });
    case "bytes":
      return fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
    case "string":
      return fc.string({ unit: "binary", maxLength: 8 }).filter((text) => text.isWellFormed());
    case "enum":
      return fc.constantFrom(...(type as { symbols: string[] } & typeof type).symbols);
    case "fixed": {
      const { size } = type as { size: number } & typeof type;
      return fc.uint8Array({ minLength: size, maxLength: size }).map((bytes) => Buffer.from(bytes).toString("latin1"));
    }
    case "array":
      return fc.array(anyDatum((type as { items: Json } & typeof type).items), { maxLength: 3 });
    case "map":
      return fc.dictionary(fc.string({ maxLength: 4 }), anyDatum((type as { values: Json } & typeof type).values), {
        maxKeys: 3,
        noNullPrototype: true,
      });
    default: {
      const { fields } = type as { fields: Field[] } & typeof type;
      return fc.record(Object.fromEntries(fields.map((field) => [field.name, anyDatum(field.type)])));
    }
  }
}

function tagOf(branch: Json): string {
  if (typeof branch === "string") return branch;
  const { type, name } = branch as { type: string; name?: string };
  return name ?? type;
}

/** The same schema in avsc, with longs as BigInt: its own stop at 2^53. */
export function inAvsc(schema: Json): avsc.Type {
  const long = avsc.types.LongType.__with({
    fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
    toBuffer: (value: bigint) => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64LE(value);
      return bytes;
    },
    fromJSON: (value: number) => BigInt(value),
    toJSON: (value: bigint) => Number(value),
    isValid: (value: unknown) => typeof value === "bigint",
    compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
  });
  return avsc.Type.forSchema(schema as avsc.Schema, { wrapUnions: true, registry: { long } });
}
