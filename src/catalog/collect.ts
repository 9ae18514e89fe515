/** Gathers the definitions that a module exports, and refuses what could not live together. */
import { MillraceError } from "../base/errors.ts";
import type { Definition, SourceDefinition, ViewDefinition } from "./definitions.ts";
import { mirrorName } from "./definitions.ts";

export interface Definitions {
  readonly sources: readonly SourceDefinition[];
  readonly views: readonly ViewDefinition[];
}

/**
 * Exports that are definitions, or arrays of them, each once; other exports are the module's own affair. A source that
 * only a view refers to is not collected: `arrange` says so.
 */
export function collectDefinitions(namespace: Readonly<Record<string, unknown>>): Definition[] {
  const found = new Set<Definition>();
  for (const value of Object.values(namespace)) {
    for (const candidate of Array.isArray(value) ? value : [value]) {
      if (isDefinition(candidate)) found.add(candidate);
    }
  }
  return [...found];
}

/** Sorts definitions by noun. Throws `DEFINITION_DUPLICATE`, `DEFINITION_INVALID`, `SOURCE_TOPIC_COLLISION`. */
export function arrange(definitions: readonly Definition[]): Definitions {
  const sources = unique(
    "source",
    definitions.filter((one) => one.kind === "source"),
  );
  const views = unique(
    "view",
    definitions.filter((one) => one.kind === "view"),
  );
  for (const view of views) {
    for (const { to } of view.sql.references) {
      if (to.kind === "table" && !sources.some((source) => source.name === to.source)) {
        throw new MillraceError(
          "DEFINITION_INVALID",
          `view "${view.name}" reads source "${to.source}", which the module does not export`,
          {
            hint: `Write \`export const ${to.source} = postgres("${to.source}", …)\`.`,
          },
        );
      }
    }
  }
  for (const source of sources) refuseTwins(source);
  return { sources, views };
}

function isDefinition(value: unknown): value is Definition {
  return (
    typeof value === "object" &&
    value !== null &&
    "kind" in value &&
    ((value.kind === "source" && "type" in value) || (value.kind === "view" && "sql" in value))
  );
}

function unique<T extends Definition>(noun: string, definitions: readonly T[]): readonly T[] {
  const names = new Set<string>();
  for (const { name } of definitions) {
    if (names.has(name)) {
      throw new MillraceError("DEFINITION_DUPLICATE", `two ${noun}s are called "${name}"`, {
        hint: `Give one of them another name: ${noun} names are unique in a module.`,
        details: { name },
      });
    }
    names.add(name);
  }
  return definitions;
}

function refuseTwins(source: SourceDefinition): void {
  const seen = new Set<string>();
  for (const { schema, table } of source.tables) {
    const name = mirrorName(schema, table);
    if (seen.has(name)) {
      throw new MillraceError("DEFINITION_DUPLICATE", `source "${source.name}" names table "${schema}.${table}" twice`);
    }
    seen.add(name);
  }
}
