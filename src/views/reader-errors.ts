/** What PostgreSQL said to a read, as an error of ours. */
import { MillraceError } from "../base/errors.ts";
import { storeFailure } from "../store/failure.ts";
import { beginsLaterState } from "./history/history-store.ts";

/** An error of the server has a SQLSTATE, one of the connection has none or Node's. */
export interface ServerError {
  readonly sqlState: string;
  readonly message: string;
  /** Characters from 1 into the statement's text; null when the server names none. */
  readonly position: number | null;
}

export function serverError(error: unknown): ServerError | undefined {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return undefined;
  if (!/^[0-9A-Z]{5}$/.test(error.code) || !("severity" in error)) return undefined;
  const position = "position" in error ? Number(error.position) : Number.NaN;
  return { sqlState: error.code, message: error.message, position: Number.isSafeInteger(position) ? position : null };
}

/** The value of a client could not be used: a cast that failed, or an operator that its type does not have. */
export function isAboutValues(error: ServerError): boolean {
  return error.sqlState.startsWith("22") || error.sqlState === "42883" || error.sqlState === "42725";
}

/**
 * Perhaps the request's own words: a cast that there is not, a text search query or the name of a configuration that
 * cannot be read. Otherwise a bug.
 */
export function isAboutWords(error: ServerError): boolean {
  return ["42846", "42601", "42602", "42704"].includes(error.sqlState);
}

/** A table or column went away between naming and reading: the view was swapped. */
export function isAboutNames(error: ServerError): boolean {
  return ["42P01", "42703", "3F000", "0A000"].includes(error.sqlState);
}

/** The error of one of several reads: it says which one. */
export function errorOfRead({ code, message, hint, details }: MillraceError, read: number): MillraceError {
  return new MillraceError(code, `reads[${read}]: ${message}`, {
    details: { ...details, read },
    ...(hint === undefined ? {} : { hint }),
  });
}

/** `QUERY_TIMEOUT` for a statement that was cancelled, `STORE_DISK_FULL`, `STORE_UNAVAILABLE` for a store that is not there; a bug otherwise. */
export function readFailed(error: unknown): MillraceError {
  if (MillraceError.is(error)) return error;
  const server = serverError(error);
  if (server && ["57014", "25P03", "25P04"].includes(server.sqlState)) {
    return new MillraceError("QUERY_TIMEOUT", "the read took longer than the store allows", {
      hint: "Narrow it with a filter, or order by a column of the key.",
      cause: error,
    });
  }
  if (server?.sqlState.startsWith("54")) {
    return new MillraceError("REQUEST_INVALID", `the answer is more than the store can make: ${server.message}`, {
      hint: "Select fewer columns, or fewer rows of related views with limit.",
      cause: error,
    });
  }
  if (server?.sqlState === beginsLaterState) {
    const [view, since] = server.message.split(" ");
    return new MillraceError("HISTORY_BEGINS_LATER", `the history of view "${view}" begins at ${since}`, {
      hint: "Ask for a moment from then on; what was before is not kept.",
      details: { view, since },
      cause: error,
    });
  }
  if (server?.sqlState === "53100") return MillraceError.from(storeFailure(error));
  // Connection, resources, operator intervention, and a rollback that asks for another try.
  if (server === undefined || /^(08|53|57|58|40|55P03)/.test(server.sqlState)) {
    const why = error instanceof Error ? error.message : String(error);
    return new MillraceError("STORE_UNAVAILABLE", `the store does not answer: ${why}`, { cause: error });
  }
  return new MillraceError("INTERNAL_ERROR", `the store refused a read: ${server.message}`, {
    cause: error,
    details: { sqlState: server.sqlState },
  });
}
