/** Errors as problem documents (RFC 9457): `type` is about:blank, `code` is what callers compare. */
import { STATUS_CODES } from "node:http";
import { errorCodes } from "../base/error-codes.ts";
import { MillraceError } from "../base/errors.ts";

export interface Problem {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What an error that only a bug can bring about says to the outside; the diagnostics have the rest, under `reference`. */
export function internalProblem(reference: string): MillraceError {
  return new MillraceError("INTERNAL_ERROR", "Millrace made a mistake while answering this request", {
    hint: `The diagnostics have the whole error under reference ${reference}.`,
    details: { reference },
  });
}

export function problemOf(error: MillraceError, retryAfterSeconds = 1): Problem {
  const status = errorCodes[error.code].http;
  // Places in a batch of the log are none of the request's; who speaks Kafka is told of them.
  const { recordErrors: _, ...details } = error.details;
  return {
    status,
    headers: {
      "content-type": "application/problem+json",
      ...(status === 503 || status === 507 ? { "retry-after": String(retryAfterSeconds) } : {}),
      ...(status === 401 ? { "www-authenticate": 'Bearer realm="millrace"' } : {}),
    },
    body: `${JSON.stringify({
      ...details,
      type: "about:blank",
      title: STATUS_CODES[status] ?? "Error",
      status,
      code: error.code,
      detail: error.message,
      hint: error.hint,
      action: error.action,
    })}\n`,
  };
}

/** The error inside a status document: `{code, message, hint, action}`. */
export function errorJson(error: MillraceError): Record<string, unknown> {
  return { code: error.code, message: error.message, hint: error.hint ?? null, action: error.action };
}

/** A whole answer for a connection that never got as far as a request. */
export function rawProblem(error: MillraceError): string {
  const { status, headers, body } = problemOf(error);
  const lines = Object.entries({
    ...headers,
    "content-length": String(Buffer.byteLength(body)),
    connection: "close",
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Error"}\r\n${lines.join("")}\r\n${body}`;
}
