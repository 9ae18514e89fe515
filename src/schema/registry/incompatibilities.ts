/** Whether data written with one schema can be read with another, whatever their type. */
import { avroIncompatibilities } from "./avro/avro-incompatibilities.ts";
import { jsonIncompatibilities } from "./json/json-differences.ts";
import type { Incompatibility, ParsedSchema } from "./parsed-schema.ts";
import { protobufIncompatibilities } from "./protobuf/protobuf-differences.ts";
import { clipped, schemaLimits, WorkBudget, WorkExceeded } from "./schema-limits.ts";

/** Empty when everything that the writer's schema allows is read by the reader's. A bounded number of them. */
export function incompatibilities(reader: ParsedSchema, writer: ParsedSchema): readonly Incompatibility[] {
  const budget = new WorkBudget(schemaLimits.compareStepsMax);
  try {
    const found = compare(reader, writer, budget).slice(0, schemaLimits.problemsMax);
    return found.map(({ path, kind, message }) => ({ path: clipped(path), kind, message: clipped(message) }));
  } catch (cause) {
    if (!(cause instanceof WorkExceeded) && !(cause instanceof RangeError)) throw cause;
    const message = "comparing the schemas takes more work than is granted; they count as incompatible";
    return [{ path: "/", kind: "COMPARISON_TOO_COSTLY", message }];
  }
}

function compare(reader: ParsedSchema, writer: ParsedSchema, budget: WorkBudget): readonly Incompatibility[] {
  if (reader.type === "AVRO" && writer.type === "AVRO") return avroIncompatibilities(reader.root, writer.root, budget);
  if (reader.type === "JSON" && writer.type === "JSON") {
    return jsonIncompatibilities(reader.model, writer.model, budget);
  }
  if (reader.type === "PROTOBUF" && writer.type === "PROTOBUF") {
    return protobufIncompatibilities(reader.model, writer.model, budget);
  }
  const message = `a schema of type ${reader.type} cannot read data of type ${writer.type}`;
  return [{ path: "/", kind: "SCHEMA_TYPE_CHANGED", message }];
}
