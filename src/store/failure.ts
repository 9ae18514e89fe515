/** What a failed connection or statement means to a caller, from PostgreSQL's SQLSTATE and the socket's errors. */
import { MillraceError } from "../base/errors.ts";

/** Classes and codes that say "not now", whatever was asked: connection exceptions, shutdown, recovery, no slots left. */
const unavailable = /^(?:08|57P0[1-5]|53300|58030)/;
const socketCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOENT",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EACCES",
]);
const clientWords =
  /^(?:Connection terminated|timeout exceeded|timeout expired|Client has encountered a connection error|Cannot use a pool after|Client was closed|Query read timeout|The server does not support SSL|Client network socket disconnected)/;

/**
 * `STORE_UNAVAILABLE` for a connection that failed or was lost, `QUERY_TIMEOUT` for a statement that was cancelled,
 * `STORE_DISK_FULL` for a full disk, `STORE_NOT_PERMITTED` for a refused login. Anything else comes back as it is: it
 * is about the statement, and its sender knows what that means.
 */
export function storeFailure(cause: unknown): unknown {
  if (MillraceError.is(cause) || !(cause instanceof Error)) return cause;
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : "";
  // A host with several addresses: the first says as much as any.
  if (cause instanceof AggregateError && cause.errors.length > 0) return storeFailure(cause.errors[0]);
  if (code === "57014") {
    return new MillraceError("QUERY_TIMEOUT", `the store cancelled the statement: ${cause.message}`, { cause });
  }
  if (code === "53100") {
    return new MillraceError("STORE_DISK_FULL", `the store's disk is full: ${cause.message}`, {
      hint: "Make space on the store's file system; the work goes on by itself.",
      cause,
    });
  }
  if (/^28|^3D000$/.test(code)) {
    return new MillraceError("STORE_NOT_PERMITTED", `the store refuses the login: ${cause.message}`, {
      hint: "Compare the user, the password and the database in MILLRACE_STORE, and the server's pg_hba.conf.",
      cause,
    });
  }
  if (unavailable.test(code) || socketCodes.has(code) || clientWords.test(cause.message)) {
    return new MillraceError("STORE_UNAVAILABLE", `the store does not answer: ${cause.message}`, { cause });
  }
  return cause;
}

/** Whether a statement of the store's own preparation failed for want of a right (insufficient_privilege). */
export function isNotPermitted(cause: unknown): cause is Error {
  return cause instanceof Error && "code" in cause && cause.code === "42501";
}
