/** Descriptors as messages of descriptor.proto, which is itself read like any other file. */
import { linkProtobuf } from "./link-protobuf.ts";
import type { FileDraft } from "./proto-draft.ts";
import { isMessage, type ProtobufModel, type ProtoMessage } from "./proto-file.ts";
import { wellKnownProto } from "./well-known-protos.ts";

/** An object of JSON. */
export type Json = Readonly<Record<string, unknown>>;

let model: ProtobufModel | undefined;

/** `file` is the message FileDescriptorProto. */
export function descriptorProto(): { readonly model: ProtobufModel; readonly file: ProtoMessage } {
  model ??= linkProtobuf(wellKnownProto("google/protobuf/descriptor.proto") as FileDraft, []);
  const file = model.types.get("google.protobuf.FileDescriptorProto");
  if (file === undefined || !isMessage(file)) throw new Error("descriptor.proto is not whole");
  return { model, file };
}
