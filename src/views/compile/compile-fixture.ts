/** For tests: small tables, and views over them compiled or refused. */
import assert from "node:assert/strict";
import type { ErrorCode } from "../../base/error-codes.ts";
import { MillraceError } from "../../base/errors.ts";
import { sql, type ViewDefinition, view } from "../../catalog/definitions.ts";
import { compileViewSync, loadParser } from "../compile.ts";
import type { CompiledView, MirrorBinding } from "../compiled-view.ts";

await loadParser();

/** `columns` are `name type`, with a `?` behind where NULL may stand. */
export function table(
  id: number,
  name: string,
  columns: readonly string[],
  key: readonly string[] | null,
): MirrorBinding {
  return {
    id,
    shape: {
      source: "shop",
      schema: "public",
      table: name,
      topic: `shop.public.${name}`,
      columns: columns.map((column) => {
        const [columnName = "", type = ""] = column.replace("?", "").split(" ");
        const nullable = column.endsWith("?");
        return { name: columnName, sourceType: type, storeType: type, nullable, carriedAsText: false };
      }),
      key,
      appendOnly: key === null,
    },
  };
}

export function compiled(
  text: string,
  mirrors: readonly MirrorBinding[],
  key: readonly string[] | null = null,
  views: readonly ViewDefinition[] = [],
): CompiledView {
  return compileViewSync({ view: { ...view("v", { ...sql``, text }), key }, mirrors, views, version: 1 });
}

/** Asserts that it is refused with this code, in these words. */
export function refused(
  code: ErrorCode,
  text: string,
  says: RegExp,
  mirrors: readonly MirrorBinding[],
  key: readonly string[] | null = null,
  views: readonly ViewDefinition[] = [],
): void {
  assert.throws(
    () => compiled(text, mirrors, key, views),
    (error) => {
      assert.ok(MillraceError.is(error), `not a MillraceError: ${error}`);
      assert.equal(error.code, code, error.message);
      assert.match(`${error.message}\n${error.hint ?? ""}`, says);
      return true;
    },
    text,
  );
}
