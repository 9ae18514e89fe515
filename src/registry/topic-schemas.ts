/**
 * What the values and keys of topics are checked against, at every door: the schemas of the definitions that this process
 * has, and of the versions that are registered below `<topic>-value` and `<topic>-key`.
 *
 * A value in the wire format (the byte 0 and an id) has to fit the version that it names; where that is the definition's
 * own it has to fit the definition too. A value without is JSON, and has to fit the definition; Avro and Protobuf are
 * never without. Tombstones are for compacted topics. A key without an id may also be a text that fits as it is.
 * Always true: a check touches nothing, never waits, and never throws but `SCHEMA_MISMATCH`.
 */
import { isUtf8 } from "node:buffer";
import { MillraceError } from "../base/errors.ts";
import { type Metrics, silentMetrics } from "../base/metrics.ts";
import { validateStandard } from "../catalog/define/standard-schema.ts";
import type { TopicDefinition } from "../catalog/define/topic.ts";
import { fittingKey, noKey, type TopicSchema } from "../catalog/define/topic-schema.ts";
import type { Engine } from "../engine/engine.ts";
import { BatchRecords } from "../records/batch-records.ts";
import { checkAppendable } from "../records/batch-validator.ts";
import type { ParsedSchema, PayloadProblem } from "../schema/registry/parsed-schema.ts";
import { decodePayload, validatePayload } from "../schema/registry/payload.ts";
import { readMessageIndexes, readWire } from "../schema/registry/wire.ts";
import { liveVersions } from "./registry-decisions.ts";
import type { SubjectVersion } from "./registry-records.ts";
import type { SchemaRegistry } from "./schema-registry.ts";

/** What is wrong with one of the records; `events` of the details of `SCHEMA_MISMATCH`. */
export interface Misfit {
  /** Its place among those that were written together, from 0. */
  readonly index: number;
  readonly problems: readonly PayloadProblem[];
}

export interface ReadValue {
  readonly value: unknown;
  /** Of the subject: the one that the value was written with; null where nothing is registered. */
  readonly version: number | null;
}

interface GuardedTopic {
  readonly definition: TopicDefinition<never, unknown>;
  /** Null where they have no schema. */
  readonly value: Guarded | null;
  readonly key: Guarded | null;
}

interface Guarded {
  readonly schema: TopicSchema;
  readonly subject: string;
  /** As of a revision of the registry. */
  versions: SubjectVersions;
}

/** What is checked of a record. */
export interface CheckedRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
}

interface SubjectVersions {
  readonly revision: number;
  /** Those that are not deleted, ascending. */
  readonly live: readonly SubjectVersion[];
  readonly byId: ReadonlyMap<number, SubjectVersion>;
}

const unread: SubjectVersions = { revision: -1, live: [], byId: new Map() };

const misfitsTold = 100;
const problemsTold = 10;

/** The subject of a topic's values (Confluent's TopicNameStrategy). */
export function subjectOfValues(topic: string): string {
  return `${topic}-value`;
}

export function subjectOfKeys(topic: string): string {
  return `${topic}-key`;
}

export class TopicSchemas {
  readonly #registry: SchemaRegistry;
  readonly #engine: Pick<Engine, "topic">;
  readonly #refused: { add(by: number, labels?: Readonly<Record<string, string>>): void };
  #topics: ReadonlyMap<string, GuardedTopic> = new Map();

  constructor(options: {
    readonly registry: SchemaRegistry;
    readonly engine: Pick<Engine, "topic">;
    readonly metrics?: Metrics;
  }) {
    this.#registry = options.registry;
    this.#engine = options.engine;
    this.#refused = (options.metrics ?? silentMetrics).counter(
      "millrace_schema_misfits_total",
      "Records that were refused because they do not fit the schema of their topic.",
    );
  }

  /** Takes the place of the definitions from before. Their schemas are registered (`apply-topics.ts`). */
  set(definitions: readonly TopicDefinition<never, unknown>[]): void {
    const guarded = definitions.flatMap((definition): [string, GuardedTopic][] => {
      const { name, schema, keySchema } = definition;
      const value = schema && { schema, subject: subjectOfValues(name), versions: unread };
      const key = keySchema && { schema: keySchema, subject: subjectOfKeys(name), versions: unread };
      return value || key ? [[name, { definition, value, key }]] : [];
    });
    this.#topics = new Map(guarded);
  }

  has(topic: string): boolean {
    return this.#topics.has(topic);
  }

  /** Throws `SCHEMA_MISMATCH`, whose details name each record that does not fit, and why. */
  check(topic: string, records: readonly CheckedRecord[]): void {
    const guarded = this.#topics.get(topic);
    if (!guarded) return;
    const misfits: Misfit[] = [];
    for (const [index, record] of records.entries()) this.#look(guarded, record, index, misfits);
    this.#refuse(topic, misfits);
  }

  /** The same for one record, whose writer is not there to be told: the reason that it does not fit, null when it does. */
  misfitOf(topic: string, record: CheckedRecord): string | null {
    const guarded = this.#topics.get(topic);
    const problems = guarded ? this.#problemsOf(guarded, record) : [];
    if (problems.length === 0) return null;
    this.#refused.add(1, { topic });
    return `the record does not fit topic "${topic}": ${problems.slice(0, problemsTold).map(wordsOf).join("; ")}`;
  }

  /**
   * The same for a batch as a client made it. Throws what the log throws for one that it does not take: `BATCH_CORRUPT`,
   * `RECORD_INVALID`, `RECORD_TOO_LARGE`.
   */
  checkBatch(topic: string, batch: Buffer): void {
    const guarded = this.#topics.get(topic);
    if (!guarded) return;
    const batchBytesMax = this.#engine.topic(topic)?.settings.batchBytesMax ?? batch.length;
    checkAppendable(batch, batchBytesMax, topic);
    const misfits: Misfit[] = [];
    const records = openRecords(batch, topic);
    for (let index = 0; records.next(); index++) this.#look(guarded, records, index, misfits);
    this.#refuse(topic, misfits);
  }

  /**
   * A value as the definition's own version has it: decoded, translated from the version that it was written with, and
   * validated. Throws `SCHEMA_MISMATCH` for what fits no version, and `TOPIC_UNKNOWN` for a topic without a schema.
   */
  read(topic: string, value: Buffer): ReadValue {
    const { definition, value: guarded } = this.#topics.get(topic) ?? {};
    if (!definition || !guarded) {
      throw new MillraceError("TOPIC_UNKNOWN", `no definition gives topic "${topic}" a schema`, { details: { topic } });
    }
    const { upcast } = definition;
    const { live } = this.#versionsOf(guarded);
    const newest = live.at(-1)?.version ?? null;
    const written = this.#written(topic, guarded, value, live);
    let current = written.value;
    for (let version = written.version ?? 0; newest !== null && version > 0 && version < newest; version++) {
      const translate = upcast.get(version);
      try {
        if (translate) current = translate(current);
      } catch (cause) {
        throw misfit(topic, `upcast of version ${version} failed: ${String(cause).slice(0, 200)}`, cause);
      }
    }
    const { standard } = guarded.schema;
    if (!standard) return { value: current, version: written.version };
    const validated = validateStandard(standard, current);
    if (validated.ok) return { value: validated.value, version: written.version };
    throw refusalOf(topic, [{ index: 0, problems: validated.problems }]);
  }

  /** The version that a value names, or the newest one that it fits. */
  #written(topic: string, guarded: Guarded, bytes: Buffer, versions: readonly SubjectVersion[]): ReadValue {
    const wire = readWire(bytes);
    if (wire) {
      // A version that is deleted is still read.
      const at = this.#registry.state.placesOf(wire.id).findLast(({ subject }) => subject === guarded.subject);
      const parsed = at && this.#parsed(at.id);
      if (!at || !parsed) throw misfit(topic, `no version of subject "${guarded.subject}" has the id ${wire.id}`);
      return { value: decoded(topic, parsed, wire.payload), version: at.version };
    }
    const value = jsonOf(bytes);
    if (value === undefined) throw misfit(topic, "the value is no JSON");
    const newest = versions.at(-1);
    if (this.#problemsOfPlain(guarded, bytes).length === 0) return { value, version: newest?.version ?? null };
    const fits = versions.findLast(({ id }) => {
      const parsed = this.#parsed(id);
      return parsed?.type === "JSON" && validatePayload(parsed, bytes).length === 0;
    });
    if (fits) return { value, version: fits.version };
    throw refusalOf(topic, [{ index: 0, problems: this.#problemsOfPlain(guarded, bytes) }]);
  }

  #look(guarded: GuardedTopic, record: CheckedRecord, index: number, misfits: Misfit[]): void {
    const problems = this.#problemsOf(guarded, record);
    if (problems.length === 0) return;
    misfits.push(
      misfits.length < misfitsTold ? { index, problems: problems.slice(0, problemsTold) } : { index, problems: [] },
    );
  }

  #problemsOf({ definition, value, key }: GuardedTopic, record: CheckedRecord): readonly PayloadProblem[] {
    const ofKey = key ? this.#problemsOfKey(key, record.key) : [];
    const ofValue = value ? this.#problemsOfValue(definition.name, value, record.value) : [];
    // Paths of values begin with a slash.
    return [...ofKey.map(({ path, message }) => ({ path: `key${path}`, message })), ...ofValue];
  }

  #problemsOfValue(topic: string, guarded: Guarded, value: Buffer | null): readonly PayloadProblem[] {
    if (value === null) {
      const isCompacted = this.#engine.topic(topic)?.settings.cleanup !== "delete";
      return isCompacted ? [] : problem("there is no value, and a tombstone is for compacted topics");
    }
    const wire = readWire(value);
    return wire ? this.#problemsOfWire(guarded, wire) : this.#problemsOfPlain(guarded, value);
  }

  #problemsOfKey(guarded: Guarded, key: Buffer | null): readonly PayloadProblem[] {
    if (key === null) return noKey;
    const wire = readWire(key);
    if (wire) return this.#problemsOfWire(guarded, wire);
    const { standard, registered } = guarded.schema;
    if (!standard && registered?.type !== "JSON") return this.#problemsOfPlain(guarded, key);
    return fittingKey(key, (json) => this.#problemsOfPlain(guarded, Buffer.from(json)));
  }

  #problemsOfWire(
    guarded: Guarded,
    wire: { readonly id: number; readonly payload: Buffer },
  ): readonly PayloadProblem[] {
    const { byId, live } = this.#versionsOf(guarded);
    const at = byId.get(wire.id);
    const parsed = at && this.#parsed(at.id);
    if (!parsed) return problem(`no version of subject "${guarded.subject}" has the id ${wire.id}`);
    const problems = payloadProblems(parsed, wire.payload);
    if (problems.length > 0 || !guarded.schema.standard) return problems;
    return at.version === live.at(-1)?.version ? this.#problemsOfPlain(guarded, wire.payload) : [];
  }

  /** Of a value without an id. */
  #problemsOfPlain(guarded: Guarded, value: Buffer): readonly PayloadProblem[] {
    const { standard, registered } = guarded.schema;
    if (standard) {
      const parsed = jsonOf(value);
      if (parsed === undefined) return problem("the value is no JSON");
      const validated = validateStandard(standard, parsed);
      return validated.ok ? [] : validated.problems;
    }
    if (registered?.type !== "JSON") {
      return problem("the value is not in the wire format: the byte 0, the schema's id in four bytes, and the payload");
    }
    const at = registered.parsed ? undefined : this.#versionsOf(guarded).live.at(-1);
    const parsed = registered.parsed ?? (at && this.#parsed(at.id));
    return parsed ? validatePayload(parsed, value) : problem(`subject "${guarded.subject}" is gone`);
  }

  #versionsOf(guarded: Guarded): SubjectVersions {
    const { state } = this.#registry;
    if (guarded.versions.revision !== state.revision) {
      const live = liveVersions(state, guarded.subject);
      const byId = new Map(live.map((at) => [at.id, at]));
      guarded.versions = { revision: state.revision, live, byId };
    }
    return guarded.versions;
  }

  /** Undefined also where what it is built on is gone. */
  #parsed(id: number): ParsedSchema | undefined {
    try {
      return this.#registry.parsed(id);
    } catch {
      return undefined;
    }
  }

  #refuse(topic: string, misfits: readonly Misfit[]): void {
    if (misfits.length === 0) return;
    this.#refused.add(misfits.length, { topic });
    throw refusalOf(topic, misfits);
  }
}

/** The checksum was right: what is wrong is the records' own. */
function openRecords(batch: Buffer, topic: string): BatchRecords {
  const records = new BatchRecords();
  try {
    // Once through, so that a form that is wrong is told before any value is looked at.
    records.open(batch);
    while (records.next());
    return records.open(batch);
  } catch (cause) {
    if (!MillraceError.is(cause, "BATCH_CORRUPT")) throw cause;
    throw new MillraceError("RECORD_INVALID", cause.message, { cause, details: { topic } });
  }
}

function payloadProblems(parsed: ParsedSchema, payload: Buffer): readonly PayloadProblem[] {
  if (parsed.type !== "PROTOBUF") return validatePayload(parsed, payload);
  const message = readMessageIndexes(payload);
  if (!message) return problem("the message indexes before the payload cannot be read");
  return validatePayload(parsed, message.payload, message.indexes);
}

function decoded(topic: string, parsed: ParsedSchema, payload: Buffer): unknown {
  const message = parsed.type === "PROTOBUF" ? readMessageIndexes(payload) : null;
  const result = message
    ? decodePayload(parsed, message.payload, { messageIndexes: message.indexes })
    : decodePayload(parsed, payload, { unions: "plain" });
  if (result.ok) return JSON.parse(result.json);
  throw refusalOf(topic, [{ index: 0, problems: result.problems }]);
}

/** Undefined for what is no JSON in UTF-8. */
function jsonOf(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) return undefined;
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

function problem(message: string): readonly PayloadProblem[] {
  return [{ path: "", message }];
}

function misfit(topic: string, message: string, cause?: unknown): MillraceError {
  return refusalOf(topic, [{ index: 0, problems: problem(message) }], cause);
}

function refusalOf(topic: string, misfits: readonly Misfit[], cause?: unknown): MillraceError {
  const [first] = misfits;
  const told = misfits.slice(0, misfitsTold);
  const reason = first?.problems[0];
  const others = misfits.length > 1 ? `, and ${misfits.length - 1} more` : "";
  return new MillraceError(
    "SCHEMA_MISMATCH",
    `record ${first?.index} does not fit topic "${topic}": ${wordsOf(reason)}${others}`,
    {
      hint: "Nothing was written. Correct the values, or the schema of the topic.",
      cause,
      details: { topic, events: told },
    },
  );
}

/** For those who are told one sentence of each record. */
export function misfitWords({ problems }: Misfit): string {
  return problems.map(wordsOf).join("; ");
}

function wordsOf(problem: PayloadProblem | undefined): string {
  return problem ? `${problem.path === "" ? "" : `${problem.path}: `}${problem.message}` : "it does not fit";
}
