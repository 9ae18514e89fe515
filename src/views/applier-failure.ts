/** What a failed batch, or a failed build, means: whose fault it is, and what is to be done. Pure. */
import { MillraceError } from "../base/errors.ts";
import { printDuration } from "../base/units.ts";
import { storeFailure } from "../store/failure.ts";
import { PipelineError } from "./applier-pipeline.ts";
import type { StoredError } from "./bookkeeping.ts";
import { serverError } from "./reader-errors.ts";
import { type TooLong, tooLongOf } from "./wide-indexes.ts";

export type Failure =
  /** The group's row is not as we left it: somebody else wrote, or our last commit was not what we think. */
  | { readonly kind: "fenced" }
  | { readonly kind: "view"; readonly view: string; readonly error: StoredError }
  /** The version of a view that is being built; the one that can be read is not to blame. */
  | { readonly kind: "build"; readonly view: string; readonly error: StoredError }
  | { readonly kind: "mirror"; readonly mirrorId: number; readonly error: StoredError }
  /** The same batch again: a deadlock, a lock that was not to be had. */
  | { readonly kind: "again" }
  /** The connection, or the server, is in trouble: open again, later. */
  | { readonly kind: "store" };

/** Serialization failure, deadlock, lock not available. */
const againStates = new Set(["40001", "40P01", "55P03"]);
/** Connection, resources, operator's intervention (but not a statement's own timeout), system and configuration errors. */
const storeClasses = new Set(["08", "53", "57", "58", "F0"]);

export function classifyFailure(error: unknown): Failure {
  if (!(error instanceof PipelineError)) return { kind: "store" };
  const { sqlState, message, statement } = error;
  const [owner, name] = ownerParts(statement?.owner);
  if (owner === "fence" && sqlState === "22012") return { kind: "fenced" };
  if (againStates.has(sqlState)) return { kind: "again" };
  const timeout = sqlState === "57014";
  if (sqlState === "" || (storeClasses.has(sqlState.slice(0, 2)) && !timeout)) return { kind: "store" };
  const stored: StoredError = { code: "VIEW_FAILED", message, sqlState };
  if (owner === "history") return { kind: "view", view: name, error: stored };
  if (owner === "view" || owner === "build") return { kind: owner, view: name, error: stored };
  if (owner === "mirror") return { kind: "mirror", mirrorId: Number(name), error: stored };
  return { kind: "store" };
}

/** Why a group is opened again: `STORE_UNAVAILABLE`, `STORE_DISK_FULL`, `STORE_NOT_PERMITTED`, `QUERY_TIMEOUT`; else a bug. */
export function storeTrouble(error: unknown): MillraceError {
  const cause = storeFailure(error instanceof PipelineError ? error.cause : error);
  const { sqlState, message } = serverError(cause) ?? { sqlState: "", message: "" };
  if (!storeClasses.has(sqlState.slice(0, 2))) return MillraceError.from(cause);
  return new MillraceError("STORE_UNAVAILABLE", `the store cannot go on: ${message}`, { cause });
}

export type BuildFailure =
  /** The store's trouble, which passes. */
  | { readonly kind: "again"; readonly message: string }
  /** A row may be too long for an index, which can be made one for any length. */
  | { readonly kind: "too long"; readonly error: StoredError; readonly tooLong: TooLong }
  /** The view's own statement cannot run on what its tables hold. */
  | { readonly kind: "failed"; readonly error: StoredError };

/** Of what a build does on its own connection; `takesMsMax` is what its statements have been given to run. */
export function classifyBuildFailure(error: unknown, takesMsMax?: number): BuildFailure {
  const message = error instanceof Error ? error.message : String(error);
  if (MillraceError.is(error, "VIEW_OPTION_INVALID") || MillraceError.is(error, "STORE_EXTENSION_MISSING")) {
    return { kind: "failed", error: { code: error.code, message, ...(error.hint ? { hint: error.hint } : {}) } };
  }
  const sqlState = serverError(error)?.sqlState ?? "";
  if (sqlState === "57014" && takesMsMax !== undefined) {
    const tooLong = `its query takes longer than the ${printDuration(takesMsMax)} that it is given to run as a whole`;
    return { kind: "failed", error: { code: "VIEW_FAILED", message: tooLong, sqlState } };
  }
  const tooLong = tooLongOf(error);
  if (tooLong !== null) return { kind: "too long", error: { code: "VIEW_FAILED", message, sqlState }, tooLong };
  if (sqlState === "23505" || sqlState === "23P01") {
    const detail = error instanceof Error && "detail" in error ? `: ${error.detail}` : "";
    return {
      kind: "failed",
      error: { code: "VIEW_FAILED", message: `rows of it have the same key${detail}`, sqlState },
    };
  }
  if (sqlState === "" || againStates.has(sqlState) || storeClasses.has(sqlState.slice(0, 2))) {
    return { kind: "again", message };
  }
  return { kind: "failed", error: { code: "VIEW_FAILED", message, sqlState } };
}

function ownerParts(owner = ""): [string, string] {
  const space = owner.indexOf(" ");
  return space < 0 ? [owner, ""] : [owner.slice(0, space), owner.slice(space + 1)];
}
