/**
 * From texts to parsed schemas and back: what a request hands in with the schemas that it is built on, and what is
 * registered, by its id. Parsed schemas are kept, a bounded number of them, those that were used last.
 */
import { createHash } from "node:crypto";
import { MillraceError } from "../base/errors.ts";
import { type CompatibilityLevel, checkCompatibility } from "../schema/registry/compatibility.ts";
import { parseSchema } from "../schema/registry/parse-schema.ts";
import {
  type Incompatibility,
  type ParsedSchema,
  type SchemaReference,
  type SchemaType,
  schemaTypes,
} from "../schema/registry/parsed-schema.ts";
import type { ReferenceName, StoredSchema, SubjectVersion } from "./registry-records.ts";
import type { RegistryState } from "./registry-state.ts";

/** A schema as it is handed in. */
export interface SchemaText {
  readonly type: SchemaType;
  readonly text: string;
  /** A version of -1 is the newest one. */
  readonly references: readonly ReferenceName[];
}

/** One that was read, and could be registered. */
export interface Candidate extends Omit<StoredSchema, "id"> {
  readonly isNormalized: boolean;
  readonly parsed: ParsedSchema;
}

export interface SubjectProblem extends Incompatibility {
  /** Of the subject. */
  readonly version: number;
}

const schemaTextMax = 1024 * 1024;
const referencesMax = 200;
const parsedMax = 256;

export class SchemaTexts {
  readonly #state: RegistryState;
  readonly #parsed = new Map<number, { readonly of: StoredSchema; readonly schema: ParsedSchema }>();

  constructor(state: RegistryState) {
    this.#state = state;
  }

  /** Throws `SCHEMA_INVALID`, `SCHEMA_TOO_LARGE`. */
  candidate({ type, text, references }: SchemaText, normalize: boolean): Candidate {
    if (!schemaTypes.includes(type)) {
      throw new MillraceError("SCHEMA_INVALID", `${JSON.stringify(String(type).slice(0, 60))} is no type of schema`, {
        hint: `Types are ${schemaTypes.join(", ")}.`,
      });
    }
    if (text.length > schemaTextMax) {
      throw new MillraceError("SCHEMA_TOO_LARGE", `the schema is longer than ${schemaTextMax} characters`);
    }
    const named = references.map((one) => this.#named(one));
    const parsed = parseSchema(type, text, this.#closure(named));
    const kept = normalize ? parsed.normalized : parsed.canonical;
    return {
      type,
      text: kept,
      references: named,
      fingerprint: fingerprintOf(type, kept, named),
      normalizedFingerprint: fingerprintOf(type, parsed.normalized, named),
      isNormalized: normalize,
      parsed,
    };
  }

  /** Undefined for an id that is not there. Throws `SCHEMA_INVALID` when what it was built on is gone. */
  parsed(id: number): ParsedSchema | undefined {
    const stored = this.#state.schema(id);
    if (!stored) return undefined;
    const known = this.#parsed.get(id);
    this.#parsed.delete(id);
    const schema =
      known?.of === stored ? known.schema : parseSchema(stored.type, stored.text, this.#closure(stored.references));
    this.#parsed.set(id, { of: stored, schema });
    if (this.#parsed.size > parsedMax) this.#parsed.delete(this.#parsed.keys().next().value as number);
    return schema;
  }

  /** What keeps a schema from living beside versions of a subject, newest last. */
  compare(
    candidate: Candidate,
    level: CompatibilityLevel,
    versions: readonly SubjectVersion[],
  ): readonly SubjectProblem[] {
    const earlier = versions.map(({ id }) => this.parsed(id) as ParsedSchema);
    const { problems } = checkCompatibility(level, candidate.parsed, earlier);
    return problems.map(({ earlier: index, ...problem }) => {
      return { ...problem, version: (versions[index] as SubjectVersion).version };
    });
  }

  #named({ name, subject, version }: ReferenceName): ReferenceName {
    const versions = this.#state.versions(subject);
    const newest = [...versions.values()].findLast(({ deleted }) => !deleted)?.version;
    const number = version === -1 ? newest : version;
    if (number !== undefined && versions.has(number)) return { name, subject, version: number };
    throw new MillraceError(
      "SCHEMA_INVALID",
      `reference "${name.slice(0, 200)}" names version ${version} of subject "${subject.slice(0, 200)}", which is not there`,
      { hint: "Register what a schema is built on first." },
    );
  }

  /** What is named, and what that names in turn, each once; those that are named come first. */
  #closure(references: readonly ReferenceName[]): SchemaReference[] {
    const found = new Map<string, SchemaReference>();
    const waiting = [...references];
    for (const { name, subject, version } of waiting) {
      if (found.has(name)) continue;
      const id = this.#state.versions(subject).get(version)?.id;
      const stored = id === undefined ? undefined : this.#state.schema(id);
      if (!stored) {
        throw new MillraceError("SCHEMA_INVALID", `version ${version} of subject "${subject}" is gone`, {
          hint: `A schema is built on it as "${name}".`,
        });
      }
      if (found.size >= referencesMax) {
        throw new MillraceError("SCHEMA_TOO_LARGE", `the schema is built on more than ${referencesMax} others`);
      }
      found.set(name, { name, subject, version, schema: stored.text, type: stored.type });
      waiting.push(...stored.references);
    }
    return [...found.values()];
  }
}

function fingerprintOf(type: SchemaType, text: string, references: readonly ReferenceName[]): string {
  const named = references.map(({ name, subject, version }) => [name, subject, version]);
  return createHash("sha256")
    .update(JSON.stringify([type, text, named]))
    .digest("hex");
}
