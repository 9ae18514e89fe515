/** The fields of an Avro record, in the JSON that `wire-reader.ts` makes of it. */
import type { MemberForm, SchemaMember } from "../schema-members.ts";
import type { AvroPrimitive, AvroType } from "./avro-type.ts";

export function avroMembers(root: AvroType): readonly SchemaMember[] {
  const record = withoutNull(root);
  if (record?.kind !== "record") return [];
  return record.fields.map(({ name, type }) => ({ name, jsonName: name, form: formOf(type) }));
}

/** The only branch that is not null; undefined where there are several. */
function withoutNull(type: AvroType): AvroType | undefined {
  if (type.kind !== "union") return type;
  const branches = type.branches.filter(({ kind }) => kind !== "null");
  return branches.length === 1 ? branches[0] : undefined;
}

function formOf(type: AvroType): MemberForm {
  const only = withoutNull(type);
  switch (only?.kind) {
    case "boolean":
      return "boolean";
    case "int":
      return logicalType(only) === "date" ? "epoch-days" : "integer";
    case "long":
      return moments[logicalType(only) ?? ""] ?? "integer-text";
    case "float":
    case "double":
      return "number";
    case "string":
      return logicalType(only) === "uuid" ? "uuid" : "text";
    case "bytes":
    case "fixed":
    case "enum":
      return "text";
    default:
      return "json";
  }
}

const moments: Readonly<Record<string, MemberForm>> = {
  "timestamp-millis": "epoch-ms",
  "timestamp-micros": "epoch-us",
};

function logicalType({ props }: AvroPrimitive): string | undefined {
  const token = props.get("logicalType");
  return token?.kind === "string" ? token.value : undefined;
}
