/**
 * The registry of schemas: a fold of the compacted topic `_millrace.schemas`, and its one writer.
 *
 * Always true: what was registered is durable, and in this process's fold, when `change` resolves; an id is given out
 * once. Every process follows the topic and answers reads from its fold. Changes are made by the owner of the unit
 * `schemas`: a process that has one to make becomes the owner, which fences whoever was; one that finds itself fenced
 * does so again, reads what the other wrote, and decides anew.
 */
import type { Clock } from "../base/clock.ts";
import { type Diagnostics, silentDiagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import type { Engine } from "../engine/engine.ts";
import { TopicTail } from "../engine/topic-tail.ts";
import { becomeOwner, type Ownership } from "../ownership/become-owner.ts";
import type { ProgressTable } from "../ownership/progress-table.ts";
import type { CompatibilityLevel } from "../schema/registry/compatibility.ts";
import type { ParsedSchema } from "../schema/registry/parsed-schema.ts";
import {
  type Decision,
  decideRegister,
  defaultRegistryLimits,
  findVersion,
  levelOf,
  liveVersions,
  normalizes,
  type Registered,
  type RegistryLimits,
} from "./registry-decisions.ts";
import {
  decodeRegistryRecord,
  encodeRegistryChanges,
  type SubjectVersion,
  schemasTopicName,
} from "./registry-records.ts";
import { RegistryState } from "./registry-state.ts";
import { type Candidate, type SchemaText, SchemaTexts, type SubjectProblem } from "./schema-texts.ts";

export const schemasUnit = "schemas";

/** A schema's text may take as much as this in UTF-8, escaped. */
const batchBytesMax = 8 * 1024 * 1024;
/** How long one look waits for what was committed to be readable. */
const readWaitMs = 1_000;
/** How often a change may meet other owners before it is given up. */
const takeoversMax = 5;

export interface SchemaRegistryOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly diagnostics?: Diagnostics;
  /** The process's open table; without one the whole topic of progress is read when the registry is first written. */
  readonly progress?: ProgressTable;
  readonly limits?: Partial<RegistryLimits>;
}

export interface RegisterOptions {
  /** What the subject's setting says when left out. */
  readonly normalize?: boolean;
  readonly id?: number;
  readonly version?: number;
  /** See `RegisterRequest`. */
  readonly translated?: ReadonlySet<number>;
  readonly exempt?: (problem: SubjectProblem) => boolean;
}

export class SchemaRegistry {
  readonly state = new RegistryState();
  readonly #texts = new SchemaTexts(this.state);
  readonly #options: SchemaRegistryOptions;
  readonly #limits: RegistryLimits;
  readonly #tail: TopicTail;
  #ownership: Ownership | null = null;
  /** Changes follow each other. They are as many as the doors' connections have asked for. */
  #changing: Promise<unknown> = Promise.resolve();

  private constructor(options: SchemaRegistryOptions) {
    this.#options = options;
    this.#limits = { ...defaultRegistryLimits, ...options.limits };
    this.#tail = new TopicTail({
      engine: options.engine,
      clock: options.clock,
      diagnostics: options.diagnostics ?? silentDiagnostics,
      topic: schemasTopicName,
      what: "the registry of schemas",
      take: (key, value) => {
        const change = decodeRegistryRecord(key, value);
        if (change) this.state.apply(change);
      },
    });
  }

  /** Makes the topic when it is missing, and reads up to its end. Throws what reading throws. */
  static async open(options: SchemaRegistryOptions): Promise<SchemaRegistry> {
    const settings = { partitions: 1, cleanup: "compact", segmentBytesMax: 64 * 1024 * 1024, batchBytesMax } as const;
    await options.engine.createTopic(schemasTopicName, settings, { readOnly: true });
    const registry = new SchemaRegistry(options);
    await registry.readToEnd();
    registry.#tail.follow();
    return registry;
  }

  get limits(): RegistryLimits {
    return this.#limits;
  }

  /** Throws `SCHEMA_INVALID`, `SCHEMA_TOO_LARGE`. */
  candidate(subject: string, schema: SchemaText, normalize?: boolean): Candidate {
    return this.#texts.candidate(schema, normalize ?? normalizes(this.state, subject));
  }

  /** Undefined for an id that is not there. */
  parsed(id: number): ParsedSchema | undefined {
    return this.#texts.parsed(id);
  }

  /** What keeps a schema from living beside versions of a subject, newest last. */
  compare(
    candidate: Candidate,
    level: CompatibilityLevel,
    versions: readonly SubjectVersion[],
  ): readonly SubjectProblem[] {
    return this.#texts.compare(candidate, level, versions);
  }

  /** As `compare`, with all versions of a subject at its own level. */
  problems(subject: string, candidate: Candidate, level?: CompatibilityLevel): readonly SubjectProblem[] {
    return this.compare(candidate, level ?? levelOf(this.state, subject), liveVersions(this.state, subject));
  }

  find(subject: string, candidate: Candidate, options: { readonly deleted: boolean }): SubjectVersion | undefined {
    return findVersion(this.state, subject, candidate, options);
  }

  /**
   * Registers a schema below a subject, or answers the version that it is already. Throws `SUBJECT_INVALID`,
   * `SCHEMA_INVALID`, `SCHEMA_TOO_LARGE`, `SCHEMA_INCOMPATIBLE`, `SCHEMA_ID_TAKEN`, `REGISTRY_READ_ONLY`, `REGISTRY_FULL`.
   */
  register(subject: string, schema: SchemaText, options: RegisterOptions = {}): Promise<Registered> {
    const { normalize, exempt, ...rest } = options;
    return this.change((state) => {
      const candidate = this.candidate(subject, schema, normalize);
      const compare = (level: CompatibilityLevel, versions: readonly SubjectVersion[]) => {
        const problems = this.compare(candidate, level, versions);
        return exempt ? problems.filter((problem) => !exempt(problem)) : problems;
      };
      return decideRegister(state, { subject, candidate, compare, ...rest }, this.#limits);
    });
  }

  /**
   * Decides on all that is registered, and writes what was decided. Resolves when it is durable; a decision without
   * changes is answered at once. What the decision throws is thrown, and nothing is written.
   */
  change<T>(decide: (state: RegistryState) => Decision<T>): Promise<T> {
    const done = this.#changing.then(() => this.#change(decide));
    this.#changing = done.catch(() => undefined);
    return done;
  }

  /** Reads everything committed so far. */
  readToEnd(): Promise<void> {
    return this.#tail.readToEnd();
  }

  /** Before the engine is closed. */
  async close(): Promise<void> {
    this.#tail.stop();
    await this.#changing;
    await this.#tail.close();
  }

  async #change<T>(decide: (state: RegistryState) => Decision<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      if (this.#tail.isStopped) throw new MillraceError("SHUTTING_DOWN", "Millrace is stopping");
      if (this.#ownership === null) {
        // What is wrong, or so already, needs no owner.
        const first = decide(this.state);
        if (first.changes.length === 0) return first.answer;
      }
      try {
        const ownership = await this.#own();
        const { answer, changes } = decide(this.state);
        if (changes.length > 0) await this.#write(ownership, changes);
        return answer;
      } catch (cause) {
        if (!MillraceError.is(cause, "PRODUCER_FENCED") || attempt >= takeoversMax) throw cause;
      }
    }
  }

  /** After it nothing but this process's own changes is written until it is fenced, and all that was before is read. */
  async #own(): Promise<Ownership> {
    if (this.#ownership) return this.#ownership;
    const { engine, progress } = this.#options;
    const ownership = await becomeOwner(engine, schemasUnit, progress ? { progress } : {});
    const { lastStable } = await engine.offsets(schemasTopicName, 0);
    await this.#readPast(lastStable - 1);
    this.#ownership = ownership;
    return ownership;
  }

  async #write(ownership: Ownership, changes: Decision<unknown>["changes"]): Promise<void> {
    const { clock } = this.#options;
    const batch = encodeRegistryChanges(changes, clock.now());
    let isWhole = false;
    try {
      const transaction = ownership.begin();
      const { baseOffset } = await transaction
        .append({ topic: schemasTopicName, partition: 0, batch })
        .catch(async (error: unknown) => {
          await transaction.abort().catch(() => undefined);
          throw error;
        });
      await transaction.commit();
      await this.#readPast(baseOffset);
      isWhole = true;
    } finally {
      // Whether it was written, or all of it read, is not known: who becomes the owner again reads what there is, and
      // decides on nothing less.
      if (!isWhole) this.#ownership = null;
    }
  }

  /** Reads until it has read past `offset`, which was committed. */
  async #readPast(offset: number): Promise<void> {
    for (;;) {
      await this.readToEnd();
      if (this.#tail.nextOffset > offset) return;
      if (this.#tail.isStopped) throw new MillraceError("SHUTTING_DOWN", "Millrace is stopping");
      await this.#tail.more(readWaitMs);
    }
  }
}
