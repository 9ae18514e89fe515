/** `group(…)`: views that are kept apart from others, by a writer of their own, in a database of their own. */
import { MillraceError } from "../../base/errors.ts";
import { checkName, refuseUnknown } from "./names.ts";

/** The group of views that say none. */
export const mainGroup = "main";

export interface GroupDefinition {
  readonly kind: "group";
  readonly name: string;
  /** `postgres://…` of a database that is this group's alone; null for one of its own beside that of group `main`. */
  readonly store: string | null;
}

export interface GroupOptions {
  /**
   * Where its views live: a database of PostgreSQL 18 or later, `postgres://user:password@host:5432/reports`, that nothing
   * else of Millrace is in. Undefined (as an environment variable is that is not set) makes one in the server of the others.
   */
  readonly store?: string | undefined;
}

/** Views name it in their option `group`. */
export function group(name: string, options: GroupOptions = {}): GroupDefinition {
  checkName("group", name);
  if (name === mainGroup) {
    throw new MillraceError(
      "DEFINITION_INVALID",
      `group name "${mainGroup}" is taken: it is that of views without one`,
      {
        hint: "Where those live is said by MILLRACE_STORE.",
      },
    );
  }
  refuseUnknown(`group "${name}"`, options, ["store"]);
  return Object.freeze({ kind: "group", name, store: storeOption(name, options.store) });
}

/** A group, or its name. */
export type GroupInput = string | { readonly kind: "group"; readonly name: string };

/** Null in `main`. Whether there is such a group is known when all definitions are. Throws `DEFINITION_INVALID`. */
export function groupOption(view: string, input: GroupInput): string | null {
  const name = typeof input === "string" ? input : input?.kind === "group" ? input.name : undefined;
  if (typeof name !== "string") {
    throw new MillraceError("DEFINITION_INVALID", `view "${view}": group is neither a group nor the name of one`, {
      hint: `Write group: "reports", beside export const reports = group("reports").`,
      details: { view, option: "group" },
    });
  }
  checkName(`view "${view}": group`, name);
  return name === mainGroup ? null : name;
}

/** The address may hold a password, and is never shown. */
function storeOption(name: string, store: unknown): string | null {
  if (store === undefined) return null;
  if (typeof store === "string" && /^postgres(?:ql)?:\/\/./.test(store)) return store;
  throw new MillraceError("DEFINITION_INVALID", `group "${name}": store is no address of a PostgreSQL`, {
    hint: "Write it as postgres://user:password@host:5432/database, or leave it out.",
    details: { group: name, option: "store" },
  });
}
