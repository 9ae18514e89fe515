/** The fields of a schema's first message, in its JSON. */
import type { MemberForm, SchemaMember } from "../schema-members.ts";
import type { ProtobufModel, ProtoField, ScalarKind } from "./proto-file.ts";

export function protobufMembers({ root }: ProtobufModel): readonly SchemaMember[] {
  const [message] = root.messages;
  // A well-known type has a form of its own, which may be no object.
  if (message === undefined || root.package === "google.protobuf") return [];
  return message.fields.map((field) => ({ name: field.name, jsonName: field.jsonName, form: formOf(field) }));
}

function formOf({ label, map, type }: ProtoField): MemberForm {
  if (label === "repeated" || map !== null) return "json";
  if (type.kind === "scalar") return scalarForm(type.scalar);
  if (type.kind === "enum") return type.enum.fullName === "google.protobuf.NullValue" ? "json" : "text";
  return wellKnownForms[type.message.fullName] ?? "json";
}

function scalarForm(scalar: ScalarKind): MemberForm {
  switch (scalar) {
    case "bool":
      return "boolean";
    case "string":
    case "bytes":
      return "text";
    case "double":
    case "float":
      return "number";
    case "uint64":
    case "fixed64":
      return "unsigned-text";
    case "int64":
    case "sint64":
    case "sfixed64":
      return "integer-text";
    default:
      return "integer";
  }
}

const wellKnownForms: Readonly<Record<string, MemberForm>> = {
  "google.protobuf.Timestamp": "date-time",
  "google.protobuf.Duration": "text",
  "google.protobuf.FieldMask": "text",
  "google.protobuf.DoubleValue": "number",
  "google.protobuf.FloatValue": "number",
  "google.protobuf.Int64Value": "integer-text",
  "google.protobuf.UInt64Value": "unsigned-text",
  "google.protobuf.Int32Value": "integer",
  "google.protobuf.UInt32Value": "integer",
  "google.protobuf.BoolValue": "boolean",
  "google.protobuf.StringValue": "text",
  "google.protobuf.BytesValue": "text",
};
