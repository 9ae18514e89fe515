/**
 * What changed between two Protobuf schemas, told in Confluent's kinds, and which of it stops a reader. Fields are what
 * their numbers are: a new name does no harm, another type under the same number does.
 */

import { PairMemo, seenAgain } from "../pair-memo.ts";
import type { Incompatibility } from "../parsed-schema.ts";
import { schemaLimits, WorkBudget } from "../schema-limits.ts";
import { printProto } from "./print-proto.ts";
import type {
  FieldType,
  ProtobufModel,
  ProtoEnum,
  ProtoField,
  ProtoFile,
  ProtoMessage,
  ScalarKind,
} from "./proto-file.ts";

export interface ProtobufDifference {
  readonly kind: string;
  /** `Order/Line/3`, from the pair on. */
  readonly path: string;
  /** Told from its file on: it lies in an imported message. */
  readonly imported?: true;
}

const compatibleKinds: ReadonlySet<string> = new Set(
  `MESSAGE_ADDED MESSAGE_MOVED ENUM_ADDED ENUM_REMOVED ENUM_CONST_ADDED ENUM_CONST_CHANGED ENUM_CONST_REMOVED
  FIELD_ADDED FIELD_REMOVED FIELD_NAME_CHANGED FIELD_STRING_OR_BYTES_LABEL_CHANGED
  ONEOF_ADDED ONEOF_REMOVED ONEOF_FIELD_ADDED ONEOF_FIELD_MOVED_TO_TOP_LEVEL`.split(/\s+/),
);

const sentences: Readonly<Record<string, string>> = {
  PACKAGE_CHANGED: "the package is another one for the reader",
  MESSAGE_REMOVED: "the message is missing in the reader's schema",
  FIELD_KIND_CHANGED: "the field is a scalar, a map or a message for one side, and not for the other",
  FIELD_SCALAR_KIND_CHANGED: "the field's type lies in the payload in another way for the reader",
  FIELD_NAMED_TYPE_CHANGED: "the field is another message for the reader",
  FIELD_NUMERIC_LABEL_CHANGED: "the numeric field is repeated for one side only",
  REQUIRED_FIELD_ADDED: "the reader requires a field that the writer does not have",
  REQUIRED_FIELD_REMOVED: "the reader lacks a field that the writer's schema requires",
  ONEOF_FIELD_REMOVED: "the reader lacks a member of the oneof",
  MULTIPLE_FIELDS_MOVED_TO_ONEOF: "fields that the writer sets together exclude each other for the reader",
  FIELD_MOVED_TO_EXISTING_ONEOF: "a field excludes others for the reader, which the writer sets together with it",
};

export function protobufDifferences(
  writer: ProtobufModel,
  reader: ProtobufModel,
  budget: WorkBudget = new WorkBudget(schemaLimits.compareStepsMax),
): readonly ProtobufDifference[] {
  return new ProtobufComparison(budget).run(writer, reader);
}

export function protobufIncompatibilities(
  reader: ProtobufModel,
  writer: ProtobufModel,
  budget?: WorkBudget,
): Incompatibility[] {
  return protobufDifferences(writer, reader, budget)
    .filter(({ kind }) => !compatibleKinds.has(kind))
    .map(({ kind, path }) => ({ path: `#/${path}`, kind, message: `#/${path}: ${sentences[kind] ?? kind}` }));
}

class ProtobufComparison {
  readonly #budget: WorkBudget;
  readonly #memo = new PairMemo<ProtoMessage, readonly ProtobufDifference[]>(
    [],
    [{ kind: seenAgain, path: "" }],
    (found) => !isCompatible(found),
  );

  readonly #printed = new Map<ProtoFile, string>();

  constructor(budget: WorkBudget) {
    this.#budget = budget;
  }

  run(writer: ProtobufModel, reader: ProtobufModel): readonly ProtobufDifference[] {
    const found = this.#memo.settle(() => [
      ...(writer.root.package === reader.root.package ? [] : [{ kind: "PACKAGE_CHANGED", path: "" }]),
      ...this.#types(writer.root, reader.root),
    ]);
    return found.filter(({ kind }) => kind !== seenAgain);
  }

  #types(writer: Holder, reader: Holder): ProtobufDifference[] {
    return [
      ...inPairs(writer.messages, reader.messages, ({ name }) => name).flatMap(([name, old, now]) => {
        if (now === undefined) return [{ kind: "MESSAGE_REMOVED", path: name }];
        if (old === undefined) return [{ kind: "MESSAGE_ADDED", path: name }];
        const found = below(name, this.#messages(old, now));
        const moved = writer.messages.indexOf(old) !== reader.messages.indexOf(now);
        return moved ? [...found, { kind: "MESSAGE_MOVED", path: name }] : found;
      }),
      ...inPairs(writer.enums, reader.enums, ({ name }) => name).flatMap(([name, old, now]) => {
        if (now === undefined) return [{ kind: "ENUM_REMOVED", path: name }];
        if (old === undefined) return [{ kind: "ENUM_ADDED", path: name }];
        return below(name, this.#enums(old, now));
      }),
    ];
  }

  #enums(writer: ProtoEnum, reader: ProtoEnum): ProtobufDifference[] {
    this.#budget.spend(writer.values.length + reader.values.length);
    return inPairs(writer.values, reader.values, ({ number }) => String(number)).flatMap(([path, old, now]) => {
      if (now === undefined) return [{ kind: "ENUM_CONST_REMOVED", path }];
      if (old === undefined) return [{ kind: "ENUM_CONST_ADDED", path }];
      return old.name === now.name ? [] : [{ kind: "ENUM_CONST_CHANGED", path }];
    });
  }

  #messages(writer: ProtoMessage, reader: ProtoMessage): readonly ProtobufDifference[] {
    this.#budget.spend(1);
    return this.#memo.visit(writer, reader, () => this.#newMessages(writer, reader));
  }

  #newMessages(writer: ProtoMessage, reader: ProtoMessage): readonly ProtobufDifference[] {
    this.#budget.spend(writer.fields.length + reader.fields.length);
    return [
      ...newExclusions(writer, reader),
      ...inPairs(writer.oneofs, reader.oneofs, ({ name }) => name).flatMap(([path, old, now]) => {
        if (now === undefined) return [{ kind: "ONEOF_REMOVED", path }];
        return old === undefined ? [{ kind: "ONEOF_ADDED", path }] : [];
      }),
      ...this.#fields(writer, reader),
      ...this.#types(writer, reader),
    ];
  }

  #fields(writer: ProtoMessage, reader: ProtoMessage): ProtobufDifference[] {
    const gone = deletedOneofs(writer, reader);
    return inPairs(writer.fields, reader.fields, ({ number }) => String(number)).flatMap(([number, old, now]) => {
      if (now === undefined) return old === undefined ? [] : removedField(old, number, gone);
      const path = now.oneof === null ? number : `${now.oneof}/${number}`;
      if (old === undefined) return [{ kind: addedKind(now), path }];
      const left = old.oneof !== null && now.oneof === null;
      const moved: ProtobufDifference[] = left ? [{ kind: "ONEOF_FIELD_MOVED_TO_TOP_LEVEL", path: number }] : [];
      const renamed: ProtobufDifference[] = old.name === now.name ? [] : [{ kind: "FIELD_NAME_CHANGED", path }];
      return [...moved, ...renamed, ...below(path, this.#fieldTypes(old, now))];
    });
  }

  #fieldTypes(old: ProtoField, now: ProtoField): readonly ProtobufDifference[] {
    const kinds = [kindOf(old), kindOf(now)];
    if (kinds[0] !== kinds[1]) return [{ kind: "FIELD_KIND_CHANGED", path: "" }];
    if (old.map !== null && now.map !== null) {
      return [...this.#fieldTypes(old.map.key, now.map.key), ...this.#fieldTypes(old.map.value, now.map.value)];
    }
    if (old.type.kind === "message" && now.type.kind === "message") {
      return this.#messageTypes(old.type.message, now.type.message);
    }
    const family = scalarFamily(old.type);
    if (family !== scalarFamily(now.type)) return [{ kind: "FIELD_SCALAR_KIND_CHANGED", path: "" }];
    if (labelOf(old) === labelOf(now)) return [];
    const text = family === "string or bytes";
    return [{ kind: text ? "FIELD_STRING_OR_BYTES_LABEL_CHANGED" : "FIELD_NUMERIC_LABEL_CHANGED", path: "" }];
  }

  /** Messages of the schema itself are compared where they stand, imported ones where they are used. */
  #messageTypes(old: ProtoMessage, now: ProtoMessage): readonly ProtobufDifference[] {
    if (nameInPackage(old) !== nameInPackage(now)) return [{ kind: "FIELD_NAMED_TYPE_CHANGED", path: "" }];
    if (old.file.path === "" && now.file.path === "") return [];
    if (this.#print(old.file) === this.#print(now.file)) return [];
    const inside = this.#messages(old, now);
    this.#budget.spend(inside.length);
    const found = below(nameInPackage(old).replaceAll(".", "/"), inside).map((difference) => {
      return { ...difference, imported: true as const };
    });
    return isCompatible(found) ? found : [...found, { kind: "FIELD_NAMED_TYPE_CHANGED", path: "" }];
  }

  #print(file: ProtoFile): string {
    let text = this.#printed.get(file);
    if (text === undefined) {
      text = printProto(file, "normalized");
      this.#printed.set(file, text);
    }
    return text;
  }
}

interface Holder {
  readonly messages: readonly ProtoMessage[];
  readonly enums: readonly ProtoEnum[];
}

function isCompatible(found: readonly ProtobufDifference[]): boolean {
  return found.every(({ kind }) => compatibleKinds.has(kind));
}

function below(step: string, found: readonly ProtobufDifference[]): ProtobufDifference[] {
  return found.map((one) => {
    if (one.imported) return one;
    return { kind: one.kind, path: one.path === "" ? step : `${step}/${one.path}` };
  });
}

/** What has the same key on both sides, the writer's order first. */
function inPairs<T>(
  writer: readonly T[],
  reader: readonly T[],
  keyOf: (item: T) => string,
): (readonly [key: string, old: T | undefined, now: T | undefined])[] {
  const before = new Map(writer.map((item) => [keyOf(item), item] as const));
  const after = new Map(reader.map((item) => [keyOf(item), item] as const));
  return [...new Set([...before.keys(), ...after.keys()])].map(
    (key) => [key, before.get(key), after.get(key)] as const,
  );
}

/** Oneofs of which neither the name nor a member is left: taking away all of it is no loss of a single member. */
function deletedOneofs(writer: ProtoMessage, reader: ProtoMessage): ReadonlySet<string> {
  const kept = new Set(reader.oneofs.map(({ name }) => name));
  const gone = writer.oneofs.filter(({ name }) => {
    return (
      !kept.has(name) && writer.fields.every((field) => field.oneof !== name || !reader.byNumber.has(field.number))
    );
  });
  return new Set(gone.map(({ name }) => name));
}

function removedField(old: ProtoField, number: string, gone: ReadonlySet<string>): ProtobufDifference[] {
  if (old.oneof === null) {
    return [{ kind: old.label === "required" ? "REQUIRED_FIELD_REMOVED" : "FIELD_REMOVED", path: number }];
  }
  return gone.has(old.oneof) ? [] : [{ kind: "ONEOF_FIELD_REMOVED", path: `${old.oneof}/${number}` }];
}

function addedKind(now: ProtoField): string {
  if (now.oneof !== null) return "ONEOF_FIELD_ADDED";
  return now.label === "required" ? "REQUIRED_FIELD_ADDED" : "FIELD_ADDED";
}

/** Members of the reader's oneofs that the writer could set together. */
function newExclusions(writer: ProtoMessage, reader: ProtoMessage): ProtobufDifference[] {
  return reader.oneofs.flatMap(({ name }) => {
    const origins = new Set<string>();
    let fromTop = 0;
    for (const field of reader.fields) {
      const old = field.oneof === name ? writer.byNumber.get(field.number) : undefined;
      if (old === undefined) continue;
      origins.add(old.oneof === null ? `field ${old.number}` : `oneof ${old.oneof}`);
      if (old.oneof === null) fromTop++;
    }
    if (origins.size <= 1) return [];
    return [{ kind: fromTop > 1 ? "MULTIPLE_FIELDS_MOVED_TO_ONEOF" : "FIELD_MOVED_TO_EXISTING_ONEOF", path: name }];
  });
}

function kindOf(field: ProtoField): "map" | "message" | "scalar" {
  if (field.map !== null) return "map";
  return field.type.kind === "message" ? "message" : "scalar";
}

/** A field without label is one that may be there once. */
function labelOf(field: ProtoField): "repeated" | "required" | "optional" {
  return field.label ?? "optional";
}

/** Types of one family read each other's bytes. */
function scalarFamily(type: FieldType): string {
  if (type.kind !== "scalar") return "number";
  return families[type.scalar] ?? type.scalar;
}

const families: Readonly<Partial<Record<ScalarKind, string>>> = {
  int32: "number",
  int64: "number",
  uint32: "number",
  uint64: "number",
  bool: "number",
  sint32: "signed number",
  sint64: "signed number",
  string: "string or bytes",
  bytes: "string or bytes",
  fixed32: "fixed 32",
  sfixed32: "fixed 32",
  fixed64: "fixed 64",
  sfixed64: "fixed 64",
};

function nameInPackage(message: ProtoMessage): string {
  const { package: scope } = message.file;
  return scope === "" ? message.fullName : message.fullName.slice(scope.length + 1);
}
