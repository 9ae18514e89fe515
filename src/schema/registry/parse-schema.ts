/** From a text to a schema that the rest works on. */

import { printAvro } from "./avro/print-avro.ts";
import { readAvro } from "./avro/read-avro.ts";
import { readJsonSchema } from "./json/read-json-schema.ts";
import { printJson, readBoundedJson } from "./json-text.ts";
import type { ParsedSchema, SchemaReference, SchemaType } from "./parsed-schema.ts";
import { printProto } from "./protobuf/print-proto.ts";
import { readProtobuf } from "./protobuf/read-protobuf.ts";
import { refuseSchema, schemaLimits } from "./schema-limits.ts";

/**
 * `references` are all schemas that the text is built on, those of references too. Throws `MillraceError`
 * `SCHEMA_INVALID`, whatever the text is.
 */
export function parseSchema(type: SchemaType, text: string, references: readonly SchemaReference[] = []): ParsedSchema {
  throwUnlessBounded(type, text, references);
  try {
    return parse(type, text, references);
  } catch (cause) {
    // The stack is what bounds the walk over a schema that leads back to itself in ways that no limit names.
    if (cause instanceof RangeError) return refuseSchema(type, "", "it leads back to itself too often");
    throw cause;
  }
}

function parse(type: SchemaType, text: string, references: readonly SchemaReference[]): ParsedSchema {
  const common = { text, references };
  switch (type) {
    case "AVRO": {
      const read = readAvro(text, references);
      return {
        type,
        ...common,
        canonical: printAvro(read, "canonical"),
        normalized: printAvro(read, "normalized"),
        root: read.root,
      };
    }
    case "JSON": {
      const model = readJsonSchema(text, references);
      const token = readBoundedJson(text, schemaLimits.schemaDepthMax);
      return {
        type,
        ...common,
        canonical: printJson(token, { sorted: false }),
        normalized: printJson(token, { sorted: true }),
        model,
      };
    }
    default: {
      const model = readProtobuf(text, references);
      return {
        type,
        ...common,
        canonical: printProto(model.root, "canonical"),
        normalized: printProto(model.root, "normalized"),
        model,
      };
    }
  }
}

function throwUnlessBounded(type: SchemaType, text: string, references: readonly SchemaReference[]): void {
  if (references.length > schemaLimits.referencesMax) {
    refuseSchema(type, "", `it has ${references.length} references, at most ${schemaLimits.referencesMax} are read`);
  }
  const wrong = references.find((reference) => reference.type !== type);
  if (wrong !== undefined) refuseSchema(type, "", `the reference "${wrong.name}" is a schema of type ${wrong.type}`);
  let bytes = Buffer.byteLength(text);
  for (const { schema } of references) bytes += Buffer.byteLength(schema);
  if (bytes > schemaLimits.textBytesMax) {
    refuseSchema(type, "", `it has ${bytes} bytes with its references, at most ${schemaLimits.textBytesMax} are read`);
  }
}
