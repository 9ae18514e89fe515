/**
 * What a schema may cost. A schema comes from whoever may register one, and is read, compared and applied to payloads
 * by everybody: each of these has a bound, and what is beyond it is refused or reported, never waited for.
 */
import { MillraceError } from "../../base/errors.ts";
import type { SchemaType } from "./parsed-schema.ts";

export const schemaLimits = {
  /** Of a schema's text, and of all the texts that it refers to together. */
  textBytesMax: 1024 * 1024,
  referencesMax: 256,
  /** Levels of nesting in a schema's text. */
  schemaDepthMax: 128,
  /** Levels of nesting in a payload. */
  payloadDepthMax: 512,
  /** Steps of comparing two schemas. */
  compareStepsMax: 400_000,
  /** Steps of reading one payload: a base, and some for each byte. */
  payloadStepsBase: 100_000,
  payloadStepsPerByte: 32,
  /** Problems that are told of one payload, or of one pair of schemas. */
  problemsMax: 100,
  /** Characters of a type's name with its package or namespace. */
  nameCharactersMax: 2000,
  /** Characters of a place or a sentence that is told: both may hold names out of a schema or a payload. */
  toldCharactersMax: 1000,
  /** States of all patterns of a schema together. */
  patternStatesMax: 200_000,
  /** Ranges of numbers that a message or enum reserves. */
  rangesMax: 5000,
} as const;

/** Thrown inside this folder only: the work that was granted is used up. */
export class WorkExceeded extends Error {}

/** Steps that may still be done. */
export class WorkBudget {
  #left: number;

  constructor(steps: number) {
    this.#left = steps;
  }

  spend(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) throw new WorkExceeded("the work is more than is granted");
  }
}

export function payloadBudget(bytes: number): WorkBudget {
  return new WorkBudget(schemaLimits.payloadStepsBase + bytes * schemaLimits.payloadStepsPerByte);
}

const hints: Readonly<Record<SchemaType, string>> = {
  AVRO: "Check the schema against the Avro specification.",
  JSON: "Check the schema against its draft of JSON Schema; every $ref must point into it or to a reference that is sent with it.",
  PROTOBUF: "Check the schema with protoc; every import must be sent as a reference, well-known types apart.",
};

/** For a sentence or a place that is told. */
export function clipped(text: string): string {
  return text.length <= schemaLimits.toldCharactersMax ? text : `${text.slice(0, schemaLimits.toldCharactersMax)}…`;
}

/** Refuses a schema. `at` is a place in it (a JSON pointer, a line and column, a name), or empty. */
export function refuseSchema(type: SchemaType, at: string, reason: string): never {
  const place = clipped(at);
  const where = place === "" ? "" : ` at ${place}`;
  throw new MillraceError("SCHEMA_INVALID", `the ${typeNames[type]} schema is not valid${where}: ${clipped(reason)}`, {
    hint: hints[type],
    details: { type, at: place },
  });
}

const typeNames: Readonly<Record<SchemaType, string>> = { AVRO: "Avro", JSON: "JSON", PROTOBUF: "Protobuf" };
