/**
 * Definitions: plain immutable values that a module exports. Nothing registers itself; `collect.ts` gathers the
 * exports of a module. Names are checked where they are given, while the caller's line is still on the stack.
 */
import type { PostgresDefinition } from "./define/postgres.ts";
import type { ViewDefinition } from "./define/view.ts";

export { mirrorName, quote } from "./define/names.ts";
export {
  type PostgresDefinition,
  type PostgresOptions,
  postgres,
  type TableDefinition,
  type TableReference,
} from "./define/postgres.ts";
export { type SqlText, sql, type ViewDefinition, type ViewOptions, view } from "./define/view.ts";

export type SourceDefinition = PostgresDefinition;
export type Definition = SourceDefinition | ViewDefinition;
