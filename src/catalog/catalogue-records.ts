/**
 * Records of `_millrace.catalog` (docs/internals/formats/catalogue.md): the key is `<kind>/<key>`, the value JSON in an
 * envelope with a version; a record without a value removes the entry.
 */
import { MillraceError } from "../base/errors.ts";
import { encodeBatch } from "../records/batch-builder.ts";

export const catalogueTopicName = "_millrace.catalog";

/** For doors, before they hand out records. Throws `TOPIC_SECRET`. */
export function assertNoSecrets(topic: string): void {
  if (topic !== catalogueTopicName) return;
  throw new MillraceError("TOPIC_SECRET", `topic ${topic} holds what credentials are checked with`, {
    hint: "Ask for rules, users and quotas with kafka-acls and kafka-configs.",
  });
}

/** What an entry is: its kind has no `/`, its key may be any text. */
export interface CatalogueChange {
  readonly kind: string;
  readonly key: string;
  /** A JSON value; undefined removes the entry. */
  readonly value: unknown;
}

const version = 1;

/** All changes in one batch, which the log has whole or not at all. */
export function encodeCatalogueChanges(changes: readonly CatalogueChange[], nowMs: number): Buffer {
  const records = changes.map(({ kind, key, value }) => ({
    key: Buffer.from(`${kind}/${key}`),
    value: value === undefined ? null : Buffer.from(JSON.stringify({ version, value })),
  }));
  return encodeBatch(records, nowMs);
}

/** Undefined for what is no entry, or of a version that is not known: it is left alone. */
export function decodeCatalogueRecord(key: Buffer | null, value: Buffer | null): CatalogueChange | undefined {
  const text = key?.toString("utf8") ?? "";
  const slash = text.indexOf("/");
  if (slash <= 0) return undefined;
  const entry = { kind: text.slice(0, slash), key: text.slice(slash + 1) };
  if (value === null) return { ...entry, value: undefined };
  try {
    const content = JSON.parse(value.toString("utf8")) as { readonly version?: unknown; readonly value?: unknown };
    return content?.version === version && content.value !== undefined ? { ...entry, value: content.value } : undefined;
  } catch {
    return undefined;
  }
}
