/**
 * Whether a reader's Avro schema reads what a writer's wrote: schema resolution of the specification, with the kinds
 * and places that Avro's own `SchemaCompatibility` tells. Types compare by their unqualified names, as it does.
 */

import { PairMemo, seenAgain } from "../pair-memo.ts";
import type { Incompatibility } from "../parsed-schema.ts";
import { schemaLimits, WorkBudget } from "../schema-limits.ts";
import {
  type AvroEnum,
  type AvroField,
  type AvroFixed,
  type AvroNamed,
  type AvroRecord,
  type AvroType,
  type AvroUnion,
  branchName,
  isNamed,
  localName,
} from "./avro-type.ts";

/** Writer kinds that a reader's kind takes, itself apart. */
const promotions: Readonly<Record<string, readonly string[]>> = {
  long: ["int"],
  float: ["int", "long"],
  double: ["int", "long", "float"],
  bytes: ["string"],
  string: ["bytes"],
};

export function avroIncompatibilities(
  reader: AvroType,
  writer: AvroType,
  budget: WorkBudget = new WorkBudget(schemaLimits.compareStepsMax),
): Incompatibility[] {
  return new Comparison(budget).run(reader, writer);
}

/** Whether one of the kinds is read as the other, without looking into them. */
export function promotes(reader: AvroType, writer: AvroType): boolean {
  return promotions[reader.kind]?.includes(writer.kind) ?? false;
}

/** Equal unqualified names, or an alias of the reader's that is the writer's full name. */
function namesMatch(reader: AvroNamed, writer: AvroNamed): boolean {
  return localName(reader.name) === localName(writer.name) || reader.aliases.includes(writer.name);
}

/** The field of the writer that a reader's field is read from. */
export function writerField(field: AvroField, writer: AvroRecord): AvroField | undefined {
  return (
    writer.fields.find(({ name }) => name === field.name) ??
    writer.fields.find(({ name }) => field.aliases.includes(name))
  );
}

/**
 * The branch that a reader takes for a value of the writer's (not itself a union): one of the same kind and full name,
 * else one of the same kind and unqualified name, else the first that can read it. -1 when there is none.
 */
export function readerBranch(reader: AvroUnion, writer: AvroType, budget: WorkBudget): number {
  const reads = (branch: AvroType): boolean => avroIncompatibilities(branch, writer, budget).length === 0;
  const same = reader.branches.findIndex(
    (branch) => branch.kind === writer.kind && branchName(branch) === branchName(writer) && reads(branch),
  );
  if (same >= 0) return same;
  const alike = reader.branches.findIndex((branch) => branch.kind === writer.kind && reads(branch));
  return alike >= 0 ? alike : reader.branches.findIndex(reads);
}

class Comparison {
  readonly #budget: WorkBudget;
  readonly #memo = new PairMemo<AvroType, readonly Incompatibility[]>(
    [],
    [{ path: "", kind: seenAgain, message: "" }],
    (found) => found.length > 0,
  );

  constructor(budget: WorkBudget) {
    this.#budget = budget;
  }

  run(reader: AvroType, writer: AvroType): Incompatibility[] {
    const found = this.#memo.settle(() => this.#compare(reader, writer));
    const told = found.filter(({ kind }) => kind !== seenAgain);
    return told.map(({ path, ...rest }) => ({ path: path === "" ? "/" : path, ...rest }));
  }

  /** Paths are told from the pair on. */
  #compare(reader: AvroType, writer: AvroType): readonly Incompatibility[] {
    this.#budget.spend(1);
    return this.#memo.visit(reader, writer, () => this.#pair(reader, writer).slice(0, schemaLimits.problemsMax));
  }

  #below(step: string, reader: AvroType, writer: AvroType): Incompatibility[] {
    return this.#compare(reader, writer).map(({ path, ...rest }) => ({ path: step + path, ...rest }));
  }

  #pair(reader: AvroType, writer: AvroType): Incompatibility[] {
    if (writer.kind === "union") return this.#writerUnion(reader, writer);
    if (reader.kind === "union") return this.#readerUnion(reader, writer);
    if (reader.kind === "array" && writer.kind === "array") return this.#below("/items", reader.items, writer.items);
    if (reader.kind === "map" && writer.kind === "map") return this.#below("/values", reader.values, writer.values);
    if (reader.kind === "record" && writer.kind === "record") {
      return [...nameMismatch(reader, writer), ...this.#fields(reader, writer)];
    }
    if (reader.kind === "enum" && writer.kind === "enum") {
      return [...nameMismatch(reader, writer), ...missingSymbols(reader, writer)];
    }
    if (reader.kind === "fixed" && writer.kind === "fixed") {
      return [...nameMismatch(reader, writer), ...sizeMismatch(reader, writer)];
    }
    if (reader.kind === writer.kind || promotes(reader, writer)) return [];
    const message = `the reader's ${reader.kind} cannot read the writer's ${writer.kind}`;
    return [{ path: "", kind: "TYPE_MISMATCH", message }];
  }

  #writerUnion(reader: AvroType, writer: AvroUnion): Incompatibility[] {
    return writer.branches.flatMap((branch, i): readonly Incompatibility[] => {
      const found = this.#compare(reader, branch);
      if (found.length === 0 || reader.kind !== "union") return found;
      return [missingBranch(branch, `/${i}`)];
    });
  }

  #readerUnion(reader: AvroUnion, writer: AvroType): Incompatibility[] {
    const fits = reader.branches.some((branch) => this.#compare(branch, writer).length === 0);
    return fits ? [] : [missingBranch(writer, "")];
  }

  #fields(reader: AvroRecord, writer: AvroRecord): Incompatibility[] {
    return reader.fields.flatMap((field, i) => {
      const from = writerField(field, writer);
      if (from !== undefined) return this.#below(`/fields/${i}/type`, field.type, from.type);
      if (field.default !== undefined) return [];
      const message = `the field "${field.name}" of the reader's "${reader.name}" is missing in the writer's and has no default`;
      return [{ path: `/fields/${i}`, kind: "READER_FIELD_MISSING_DEFAULT_VALUE", message }];
    });
  }
}

function nameMismatch(reader: AvroNamed, writer: AvroNamed): Incompatibility[] {
  if (namesMatch(reader, writer)) return [];
  const message = `the reader's "${reader.name}" is neither named nor has the alias "${writer.name}"`;
  return [{ path: "/name", kind: "NAME_MISMATCH", message }];
}

function sizeMismatch(reader: AvroFixed, writer: AvroFixed): Incompatibility[] {
  if (reader.size === writer.size) return [];
  const message = `"${reader.name}" has ${reader.size} bytes for the reader and ${writer.size} for the writer`;
  return [{ path: "/size", kind: "FIXED_SIZE_MISMATCH", message }];
}

function missingSymbols(reader: AvroEnum, writer: AvroEnum): Incompatibility[] {
  if (reader.default !== undefined) return [];
  const known = new Set(reader.symbols);
  const missing = writer.symbols.filter((symbol) => !known.has(symbol));
  if (missing.length === 0) return [];
  const message = `the reader's enum "${reader.name}" lacks ${missing.join(", ")} and has no default`;
  return [{ path: "/symbols", kind: "MISSING_ENUM_SYMBOLS", message }];
}

function missingBranch(writer: AvroType, path: string): Incompatibility {
  const what = isNamed(writer) ? `${writer.kind} "${writer.name}"` : writer.kind;
  return { path, kind: "MISSING_UNION_BRANCH", message: `the reader's union has no branch for the writer's ${what}` };
}
