/** From the text of a Protobuf schema, or its descriptor in base64, to the model, with everything that it imports. */
import type { SchemaReference } from "../parsed-schema.ts";
import { looksLikeDescriptor, readDescriptor } from "./descriptor-reader.ts";
import { linkProtobuf } from "./link-protobuf.ts";
import type { FileDraft } from "./proto-draft.ts";
import type { ProtobufModel } from "./proto-file.ts";
import { readProto } from "./read-proto.ts";
import { wellKnownProto } from "./well-known-protos.ts";

/** Throws `MillraceError` `SCHEMA_INVALID`. */
export function readProtobuf(text: string, references: readonly SchemaReference[]): ProtobufModel {
  const root = draftOf(text, "");
  const imported = new Map(references.map(({ name, schema }) => [name, draftOf(schema, name)] as const));
  // What is well known need not be sent; a reference of the same path goes before it.
  const open = [root, ...imported.values()].flatMap((draft) => draft.imports);
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const draft = imported.has(next.path) ? undefined : wellKnownProto(next.path);
    if (draft === undefined) continue;
    imported.set(next.path, draft);
    open.push(...draft.imports);
  }
  return linkProtobuf(root, [...imported.values()]);
}

function draftOf(text: string, path: string): FileDraft {
  return looksLikeDescriptor(text) ? readDescriptor(text, path) : readProto(text, path);
}
