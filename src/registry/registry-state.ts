/**
 * What is registered: a fold of the topic's records, and nothing else. It decides nothing (registry-decisions.ts) and
 * reads no schema.
 */
import type { RegistryChange, StoredSchema, SubjectConfig, SubjectVersion } from "./registry-records.ts";

const noVersions: ReadonlyMap<number, SubjectVersion> = new Map();

export class RegistryState {
  readonly #schemas = new Map<number, StoredSchema>();
  readonly #byFingerprint = new Map<string, Set<number>>();
  /** Versions of each subject in ascending order. */
  readonly #subjects = new Map<string, Map<number, SubjectVersion>>();
  /** Places that have an id, as `<version>/<subject>`. */
  readonly #places = new Map<number, Map<string, SubjectVersion>>();
  /** Ids of schemas that are built on a version, by `<version>/<subject>`. */
  readonly #referrers = new Map<string, Set<number>>();
  readonly #configs = new Map<string | null, SubjectConfig>();
  readonly #modes = new Map<string | null, string>();
  #lastId = 0;
  #textBytes = 0;
  #placeCount = 0;
  #revision = 0;

  get lastId(): number {
    return this.#lastId;
  }

  /** Grows with every change: what was derived from the state is of the same revision, or stale. */
  get revision(): number {
    return this.#revision;
  }

  get schemaCount(): number {
    return this.#schemas.size;
  }

  /** Versions of all subjects, soft deletions included. */
  get placeCount(): number {
    return this.#placeCount;
  }

  /** Subjects, and the registry as a whole, that have settings of their own. */
  get configCount(): number {
    return this.#configs.size;
  }

  get modeCount(): number {
    return this.#modes.size;
  }

  /** Of all schemas' texts, in UTF-16 units. */
  get textBytes(): number {
    return this.#textBytes;
  }

  schema(id: number): StoredSchema | undefined {
    return this.#schemas.get(id);
  }

  /** The smallest id with this fingerprint, exact or normalized. */
  idOfFingerprint(fingerprint: string): number | undefined {
    const ids = this.#byFingerprint.get(fingerprint);
    return ids === undefined ? undefined : Math.min(...ids);
  }

  subjects(): IterableIterator<string> {
    return this.#subjects.keys();
  }

  /** Ascending, those that are soft deleted included. */
  versions(subject: string): ReadonlyMap<number, SubjectVersion> {
    return this.#subjects.get(subject) ?? noVersions;
  }

  /** Where a schema is registered, soft deletions included. */
  placesOf(id: number): readonly SubjectVersion[] {
    return [...(this.#places.get(id)?.values() ?? [])];
  }

  /** Ids of the schemas that are built on this version. */
  referrersOf(subject: string, version: number): readonly number[] {
    return [...(this.#referrers.get(placeKey(subject, version)) ?? [])].sort((a, b) => a - b);
  }

  config(subject: string | null): SubjectConfig | undefined {
    return this.#configs.get(subject);
  }

  mode(subject: string | null): string | undefined {
    return this.#modes.get(subject);
  }

  apply(change: RegistryChange): void {
    this.#revision++;
    switch (change.kind) {
      case "schema":
        this.#removeSchema(change.id);
        if (change.schema !== undefined) this.#addSchema(change.schema);
        return;
      case "version":
        this.#setVersion(change.subject, change.version, change.entry);
        return;
      case "config":
        set(this.#configs, change.subject, change.config);
        return;
      case "mode":
        set(this.#modes, change.subject, change.mode);
        return;
      case "ids":
        this.#lastId = Math.max(this.#lastId, change.lastId);
    }
  }

  #addSchema(schema: StoredSchema): void {
    this.#schemas.set(schema.id, schema);
    this.#lastId = Math.max(this.#lastId, schema.id);
    this.#textBytes += schema.text.length;
    addTo(this.#byFingerprint, schema.fingerprint, schema.id);
    addTo(this.#byFingerprint, schema.normalizedFingerprint, schema.id);
    for (const { subject, version } of schema.references) {
      addTo(this.#referrers, placeKey(subject, version), schema.id);
    }
  }

  #removeSchema(id: number): void {
    const schema = this.#schemas.get(id);
    if (!schema) return;
    this.#schemas.delete(id);
    this.#textBytes -= schema.text.length;
    removeFrom(this.#byFingerprint, schema.fingerprint, id);
    removeFrom(this.#byFingerprint, schema.normalizedFingerprint, id);
    for (const { subject, version } of schema.references) {
      removeFrom(this.#referrers, placeKey(subject, version), id);
    }
  }

  #setVersion(subject: string, version: number, entry: Pick<SubjectVersion, "id" | "deleted"> | undefined): void {
    const key = placeKey(subject, version);
    let versions = this.#subjects.get(subject);
    const before = versions?.get(version);
    this.#placeCount += (entry ? 1 : 0) - (before ? 1 : 0);
    if (before) {
      const places = this.#places.get(before.id);
      places?.delete(key);
      if (places?.size === 0) this.#places.delete(before.id);
    }
    if (entry === undefined) {
      versions?.delete(version);
      if (versions?.size === 0) this.#subjects.delete(subject);
      return;
    }
    const next: SubjectVersion = { subject, version, id: entry.id, deleted: entry.deleted };
    if (!versions) {
      versions = new Map();
      this.#subjects.set(subject, versions);
    }
    const isLast = before !== undefined || version > Math.max(0, ...versions.keys());
    versions.set(version, next);
    // Compaction keeps a changed record at its last place, and imports come in any order.
    if (!isLast) this.#subjects.set(subject, new Map([...versions].sort(([a], [b]) => a - b)));
    let places = this.#places.get(entry.id);
    if (!places) {
      places = new Map();
      this.#places.set(entry.id, places);
    }
    places.set(key, next);
  }
}

function placeKey(subject: string, version: number): string {
  return `${version}/${subject}`;
}

function set<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}

function addTo<K>(map: Map<K, Set<number>>, key: K, id: number): void {
  const ids = map.get(key);
  if (ids) ids.add(id);
  else map.set(key, new Set([id]));
}

function removeFrom<K>(map: Map<K, Set<number>>, key: K, id: number): void {
  const ids = map.get(key);
  ids?.delete(id);
  if (ids?.size === 0) map.delete(key);
}
