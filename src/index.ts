/** The public face of the package: what a definition module imports. */
export { MillraceError } from "./base/errors.ts";
export type {
  Definition,
  PostgresDefinition,
  PostgresOptions,
  SqlText,
  TableReference,
  ViewDefinition,
  ViewOptions,
} from "./catalog/definitions.ts";
export { postgres, sql, view } from "./catalog/definitions.ts";
