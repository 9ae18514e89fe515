/** The identity of a compiled view: another hash means that its state must be built again. */
import { createHash } from "node:crypto";
import { type ViewDefinition, versionsOf } from "../../catalog/definitions.ts";
import { pinnedSession } from "../../store/session.ts";
import type { MirrorBinding } from "../compiled-view.ts";
import { referringColumns } from "./references.ts";
import type { SourceText } from "./source-text.ts";

/** Grows when the compiler gives a view another state table for the same definition. */
const compilerVersion = 1;

/**
 * SHA-256 over the definition's words (spaces and comments do not count) with those of the views that it reads, its key, what
 * it is searched by and referred from, the shape of what it uses, the settings that the store pins, and the compiler's version.
 */
export function viewHash(
  view: ViewDefinition,
  source: SourceText,
  uses: readonly { readonly mirror: MirrorBinding; readonly columns: readonly string[] }[],
  /** Columns of the state that the view does not show, where the definition alone does not say which; or that it is run again as a whole. */
  hidden?: readonly string[] | "whole",
): string {
  // The mirrors' ids only order the terms: the state does not depend on them.
  const shapes = uses.map(({ mirror: { shape }, columns }) => ({
    table: [shape.source, shape.schema, shape.table],
    key: shape.key,
    columns: shape.columns
      .filter((column) => columns.includes(column.name) || shape.key?.includes(column.name) === true)
      .map(({ name, storeType, nullable, generated = [] }) => [name, storeType, nullable].concat(generated)),
  }));
  const referring = view.references === undefined ? undefined : referringColumns(view);
  const words = source.words().map((token) => token.text);
  const content = {
    compilerVersion,
    pinnedSession,
    name: view.name,
    key: view.key,
    find: view.find,
    reads: view.reads,
    policy: view.policy ?? undefined,
    referring,
    // How long versions are kept is no reason to begin anew.
    versions: versionsOf(view) === null ? undefined : true,
    words,
    shapes,
    hidden,
  };
  return createHash("sha256").update(JSON.stringify(content)).digest("hex");
}
