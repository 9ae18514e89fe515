/**
 * What a request to the registry does: pure functions from what is registered to the changes that the topic gets. Rules
 * and refusals are Confluent's (KafkaSchemaRegistry, 7.9); what they are called over HTTP is the door's.
 */
import { MillraceError } from "../base/errors.ts";
import { type CompatibilityLevel, compatibilityLevels } from "../schema/registry/compatibility.ts";
import type { RegistryChange, StoredSchema, SubjectConfig, SubjectVersion } from "./registry-records.ts";
import type { RegistryState } from "./registry-state.ts";
import type { Candidate, SubjectProblem } from "./schema-texts.ts";

/** What is answered, and what has to be written for it to be so. */
export interface Decision<T> {
  readonly answer: T;
  readonly changes: readonly RegistryChange[];
}

export interface Registered {
  readonly id: number;
  readonly version: number;
}

export const registryModes = ["READWRITE", "READONLY", "READONLY_OVERRIDE", "IMPORT"] as const;

export interface RegistryLimits {
  readonly subjectNameMax: number;
  /** Of one subject. */
  readonly versionsMax: number;
  /** Versions of all subjects: one schema may stand below any number of them. */
  readonly placesMax: number;
  /** Subjects with a level of their own, and subjects with a mode of their own. */
  readonly settingsMax: number;
  readonly schemasMax: number;
  /** Of all schemas together: they are held in memory. */
  readonly textBytesMax: number;
}

export const defaultRegistryLimits: RegistryLimits = {
  subjectNameMax: 1_024,
  versionsMax: 1_000,
  placesMax: 200_000,
  settingsMax: 50_000,
  schemasMax: 50_000,
  textBytesMax: 128 * 1024 * 1024,
};

/** Compares with the versions that have to be read alike, newest last; what is found names the version. */
export type Compare = (level: CompatibilityLevel, versions: readonly SubjectVersion[]) => readonly SubjectProblem[];

export interface RegisterRequest {
  readonly subject: string;
  readonly candidate: Candidate;
  readonly compare: Compare;
  /** In IMPORT mode only. */
  readonly id?: number;
  readonly version?: number;
  /** Versions that need not be read alike: something translates them. */
  readonly translated?: ReadonlySet<number>;
}

export function decideRegister(
  state: RegistryState,
  request: RegisterRequest,
  limits: RegistryLimits = defaultRegistryLimits,
): Decision<Registered> {
  const { subject, candidate, translated } = request;
  checkSubject(subject, limits);
  const mode = modeOf(state, subject);
  if (mode !== "IMPORT" && (request.id ?? request.version) !== undefined) {
    throw refusal("REGISTRY_READ_ONLY", `subject "${subject}" is not in mode IMPORT, so that an id cannot be chosen`, {
      hint: `Leave id and version out, or put the mode: PUT /registry/mode/${encodeURIComponent(subject)}.`,
    });
  }
  const known = findVersion(state, subject, candidate, { deleted: false });
  if (known && (request.id === undefined || known.id === request.id)) {
    return { answer: { id: known.id, version: known.version }, changes: [] };
  }
  assertWritable(state, subject);
  if (mode === "IMPORT") return decideImport(state, request, limits);
  const live = liveVersions(state, subject);
  const problems = request
    .compare(levelOf(state, subject), live)
    .filter(({ version }) => !(translated?.has(version) ?? false));
  if (problems.length > 0) throw incompatible(subject, problems);
  const version = Math.max(0, ...state.versions(subject).keys()) + 1;
  const id = idOfCandidate(state, candidate) ?? state.lastId + 1;
  return place(state, { subject, version, id, candidate }, limits);
}

/** Ids and versions are as they were elsewhere; nothing is compared. */
function decideImport(state: RegistryState, request: RegisterRequest, limits: RegistryLimits): Decision<Registered> {
  const { subject, candidate, id, version = Math.max(0, ...state.versions(subject).keys()) + 1 } = request;
  if (id === undefined) {
    throw refusal("REGISTRY_READ_ONLY", `subject "${subject}" is in mode IMPORT, where a schema is given its id`);
  }
  const taken = state.schema(id);
  if (taken && !isSame(taken, candidate)) {
    throw refusal("SCHEMA_ID_TAKEN", `id ${id} is that of another schema`, { details: { id } });
  }
  const there = state.versions(subject).get(version);
  if (there && there.id !== id) {
    throw refusal("SCHEMA_ID_TAKEN", `version ${version} of subject "${subject}" has id ${there.id}`, {
      details: { id: there.id },
    });
  }
  return place(state, { subject, version, id, candidate }, limits);
}

function place(
  state: RegistryState,
  at: { readonly subject: string; readonly version: number; readonly id: number; readonly candidate: Candidate },
  limits: RegistryLimits,
): Decision<Registered> {
  const { subject, version, id, candidate } = at;
  if (state.versions(subject).size >= limits.versionsMax) {
    throw refusal("REGISTRY_FULL", `subject "${subject}" has ${limits.versionsMax} versions, and takes no more`, {
      hint: "Delete old versions for good: millrace schemas delete --permanent.",
    });
  }
  if (!state.versions(subject).has(version) && state.placeCount >= limits.placesMax) {
    throw refusal("REGISTRY_FULL", `the registry holds ${limits.placesMax} versions, and takes no more`, {
      hint: "Delete subjects that nobody uses for good: millrace schemas delete --permanent.",
    });
  }
  const entry = { id, deleted: false };
  const changes: RegistryChange[] = [{ kind: "version", subject, version, entry }];
  if (state.schema(id) === undefined) {
    const { type, text, references, fingerprint, normalizedFingerprint } = candidate;
    const stored = { id, type, text, references, fingerprint, normalizedFingerprint };
    const isFull = state.schemaCount >= limits.schemasMax || state.textBytes + stored.text.length > limits.textBytesMax;
    if (isFull) {
      throw refusal("REGISTRY_FULL", "the registry holds as many schemas as it may", {
        hint: "Delete subjects that nobody uses for good: millrace schemas delete --permanent.",
      });
    }
    changes.unshift({ kind: "schema", id, schema: stored });
    changes.push({ kind: "ids", lastId: Math.max(id, state.lastId) });
  }
  return { answer: { id, version }, changes };
}

export interface DeleteOptions {
  readonly permanent: boolean;
}

/** Answers the versions that are deleted now. */
export function decideDeleteSubject(
  state: RegistryState,
  subject: string,
  { permanent }: DeleteOptions,
): Decision<readonly number[]> {
  const all = [...state.versions(subject).values()];
  if (all.length === 0) throw unknownSubject(subject);
  assertWritable(state, subject);
  const live = all.filter(({ deleted }) => !deleted);
  if (!permanent && live.length === 0) {
    throw refusal("SUBJECT_DELETED", `subject "${subject}" is deleted already`, {
      hint: "Delete it for good with permanent=true.",
    });
  }
  if (permanent && live.length > 0) {
    throw refusal("SUBJECT_NOT_DELETED", `subject "${subject}" was not deleted first before being deleted for good`, {
      hint: "Delete it without permanent first.",
    });
  }
  const going = permanent ? all : live;
  for (const one of going) assertUnreferenced(state, one, permanent);
  return {
    answer: going.map(({ version }) => version),
    changes: permanent ? erased(state, going) : [...hidden(going), ...withoutSettings(state, subject)],
  };
}

export function decideDeleteVersion(
  state: RegistryState,
  at: SubjectVersion,
  { permanent }: DeleteOptions,
): Decision<number> {
  const { subject, version } = at;
  assertWritable(state, subject);
  if (!permanent && at.deleted) {
    throw refusal("SUBJECT_DELETED", `version ${version} of subject "${subject}" is deleted already`, {
      hint: "Delete it for good with permanent=true.",
      details: { version },
    });
  }
  if (permanent && !at.deleted) {
    const message = `version ${version} of subject "${subject}" was not deleted first before being deleted for good`;
    throw refusal("SUBJECT_NOT_DELETED", message, {
      hint: "Delete it without permanent first.",
      details: { version },
    });
  }
  assertUnreferenced(state, at, permanent);
  if (permanent) return { answer: version, changes: erased(state, [at]) };
  const isLast = liveVersions(state, subject).every((one) => one.version === version);
  return { answer: version, changes: [...hidden([at]), ...(isLast ? withoutSettings(state, subject) : [])] };
}

export function decideConfig(
  state: RegistryState,
  subject: string | null,
  config: SubjectConfig,
  limits: RegistryLimits = defaultRegistryLimits,
): Decision<SubjectConfig> {
  if (subject !== null) checkSubject(subject, limits);
  const { compatibility } = config;
  if (compatibility !== undefined && !isLevel(compatibility)) {
    const levels = compatibilityLevels.map((level) => level.toLowerCase()).join(", ");
    throw refusal("COMPATIBILITY_LEVEL_INVALID", `${JSON.stringify(compatibility.slice(0, 60))} is no level`, {
      hint: `Levels are ${levels}.`,
    });
  }
  if (modeOf(state, subject).startsWith("READONLY")) throw readOnly(subject);
  if (subject !== null && state.config(subject) === undefined) checkRoomForSettings(state.configCount, limits);
  const next = { ...state.config(subject), ...config };
  return { answer: config, changes: [{ kind: "config", subject, config: next }] };
}

/** Answers what was so before. */
export function decideDeleteConfig(state: RegistryState, subject: string | null): Decision<SubjectConfig> {
  const config = state.config(subject);
  if (!config && subject !== null) throw unknownSubject(subject);
  if (modeOf(state, subject).startsWith("READONLY")) throw readOnly(subject);
  return { answer: config ?? {}, changes: [{ kind: "config", subject, config: undefined }] };
}

export function decideMode(
  state: RegistryState,
  subject: string | null,
  mode: string,
  options: { readonly force: boolean },
  limits: RegistryLimits = defaultRegistryLimits,
): Decision<string> {
  if (subject !== null) checkSubject(subject, limits);
  if (!registryModes.some((one) => one === mode)) {
    throw refusal("REGISTRY_MODE_INVALID", `${JSON.stringify(mode.slice(0, 60))} is no mode`, {
      hint: `Modes are ${registryModes.join(", ")}.`,
    });
  }
  const holdsSome = subject === null ? [...state.subjects()].length > 0 : state.versions(subject).size > 0;
  // Ids that are imported must not meet those that were given out here.
  if (mode === "IMPORT" && modeOf(state, subject) !== "IMPORT" && holdsSome && !options.force) {
    const what = subject === null ? "the registry" : `subject "${subject}"`;
    throw refusal("REGISTRY_READ_ONLY", `${what} holds schemas already, so that it cannot be put into mode IMPORT`, {
      hint: "Use force=true where their ids cannot meet those that are imported.",
    });
  }
  if (subject !== null && state.mode(subject) === undefined) checkRoomForSettings(state.modeCount, limits);
  return { answer: mode, changes: [{ kind: "mode", subject, mode }] };
}

function checkRoomForSettings(count: number, { settingsMax }: RegistryLimits): void {
  if (count < settingsMax) return;
  throw refusal("REGISTRY_FULL", `${settingsMax} subjects have settings of their own, and no more may`, {
    hint: "Delete the settings of subjects that nobody uses: DELETE /registry/config/{subject} and /registry/mode/{subject}.",
  });
}

/** Answers what was so before. */
export function decideDeleteMode(state: RegistryState, subject: string): Decision<string> {
  const mode = state.mode(subject);
  if (mode === undefined) throw unknownSubject(subject);
  return { answer: mode, changes: [{ kind: "mode", subject, mode: undefined }] };
}

/** The newest version of the subject that is this schema. */
export function findVersion(
  state: RegistryState,
  subject: string,
  candidate: Candidate,
  options: { readonly deleted: boolean },
): SubjectVersion | undefined {
  return [...state.versions(subject).values()].findLast(({ id, deleted }) => {
    const schema = deleted && !options.deleted ? undefined : state.schema(id);
    return schema !== undefined && isSame(schema, candidate);
  });
}

export function liveVersions(state: RegistryState, subject: string): SubjectVersion[] {
  return [...state.versions(subject).values()].filter(({ deleted }) => !deleted);
}

export function levelOf(state: RegistryState, subject: string): CompatibilityLevel {
  const level = state.config(subject)?.compatibility ?? state.config(null)?.compatibility;
  return isLevel(level) ? level : "BACKWARD";
}

export function normalizes(state: RegistryState, subject: string): boolean {
  return state.config(subject)?.normalize ?? state.config(null)?.normalize ?? false;
}

export function modeOf(state: RegistryState, subject: string | null): string {
  const all = state.mode(null) ?? "READWRITE";
  if (all === "READONLY_OVERRIDE" || subject === null) return all;
  return state.mode(subject) ?? all;
}

/** Throws `SUBJECT_INVALID`. */
function checkSubject(subject: string, limits: RegistryLimits = defaultRegistryLimits): void {
  if (/^:.*:/s.test(subject)) {
    throw refusal("SUBJECT_INVALID", `subject ${JSON.stringify(subject.slice(0, 80))} names a context`, {
      hint: "There is one context here, the default one: leave :.name: out.",
    });
  }
  const isForm = subject !== "" && subject.length <= limits.subjectNameMax && subject.isWellFormed();
  if (isForm && !/\p{Cc}/u.test(subject)) return;
  throw refusal("SUBJECT_INVALID", `${JSON.stringify(subject.slice(0, 80))} cannot be the name of a subject`, {
    hint: `Names have 1 to ${limits.subjectNameMax} characters, none of them a control character.`,
  });
}

export function unknownSubject(subject: string): MillraceError {
  return refusal("SUBJECT_UNKNOWN", `Subject '${subject.slice(0, 200)}' not found.`, {
    hint: "millrace schemas list names them all.",
    details: { subject },
  });
}

export function incompatible(subject: string, problems: readonly SubjectProblem[]): MillraceError {
  const [first] = problems;
  const words = first ? `: ${first.message} (${first.kind} at ${first.path || "the root"})` : "";
  return refusal(
    "SCHEMA_INCOMPATIBLE",
    `the schema is incompatible with version ${first?.version} of subject "${subject}"${words}`,
    {
      hint: "Make the change one that old data can be read with (a default, an optional field), or lower the subject's compatibility.",
      details: { subject, version: first?.version, problems: problems.slice(0, problemsTold) },
    },
  );
}

const problemsTold = 20;

function isSame(schema: StoredSchema, { type, fingerprint, normalizedFingerprint, isNormalized }: Candidate): boolean {
  if (schema.type !== type) return false;
  return schema.fingerprint === fingerprint || (isNormalized && schema.normalizedFingerprint === normalizedFingerprint);
}

function idOfCandidate(state: RegistryState, candidate: Candidate): number | undefined {
  const { fingerprint, normalizedFingerprint, isNormalized } = candidate;
  for (const one of isNormalized ? [fingerprint, normalizedFingerprint] : [fingerprint]) {
    const id = state.idOfFingerprint(one);
    const schema = id === undefined ? undefined : state.schema(id);
    if (schema && isSame(schema, candidate)) return schema.id;
  }
  return undefined;
}

function hidden(versions: readonly SubjectVersion[]): RegistryChange[] {
  return versions.map(({ subject, version, id }) => {
    return { kind: "version", subject, version, entry: { id, deleted: true } };
  });
}

/** Schemas that are registered nowhere else go with them. */
function erased(state: RegistryState, versions: readonly SubjectVersion[]): RegistryChange[] {
  const going = new Set(versions.map(({ subject, version }) => `${version}/${subject}`));
  const isOrphan = (id: number) => {
    return state.placesOf(id).every(({ subject, version }) => going.has(`${version}/${subject}`));
  };
  const orphans = [...new Set(versions.map(({ id }) => id))].filter(isOrphan);
  return [
    ...versions.map(({ subject, version }) => ({ kind: "version", subject, version, entry: undefined }) as const),
    ...orphans.map((id) => ({ kind: "schema", id, schema: undefined }) as const),
  ];
}

function withoutSettings(state: RegistryState, subject: string): RegistryChange[] {
  const changes: RegistryChange[] = [];
  if (state.config(subject)) changes.push({ kind: "config", subject, config: undefined });
  if (state.mode(subject) !== undefined) changes.push({ kind: "mode", subject, mode: undefined });
  return changes;
}

function assertUnreferenced(state: RegistryState, at: SubjectVersion, permanent: boolean): void {
  const isUsed = (id: number) => state.placesOf(id).some(({ deleted }) => permanent || !deleted);
  const users = state.referrersOf(at.subject, at.version).filter(isUsed);
  if (users.length === 0) return;
  throw refusal(
    "SCHEMA_REFERENCED",
    `version ${at.version} of subject "${at.subject}" is what other schemas are built on`,
    { hint: "Delete those first.", details: { ids: users.slice(0, 100) } },
  );
}

function assertWritable(state: RegistryState, subject: string): void {
  if (modeOf(state, subject).startsWith("READONLY")) throw readOnly(subject);
}

function readOnly(subject: string | null): MillraceError {
  const what = subject === null ? "the registry" : `subject "${subject}"`;
  return refusal("REGISTRY_READ_ONLY", `${what} is in mode READONLY`, { hint: "Put the mode READWRITE first." });
}

export function isLevel(level: unknown): level is CompatibilityLevel {
  return compatibilityLevels.some((one) => one === level);
}

function refusal(...[code, message, extra]: ConstructorParameters<typeof MillraceError>): MillraceError {
  return new MillraceError(code, message, extra);
}
