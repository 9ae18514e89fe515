/**
 * The one class of failure. A failure that a caller must treat is returned as a value; everything that is thrown
 * on purpose is a `MillraceError` with a stable code from `error-codes.ts`. Bugs are assertions.
 */
import assert from "node:assert/strict";
import { type ErrorAction, type ErrorCode, errorCodes } from "./error-codes.ts";

export interface MillraceErrorDetails {
  /** What to do about it: a sentence, with the command to run where there is one. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** Facts for machines (names, offsets, limits). Never secrets: they are sent to clients. */
  readonly details?: Readonly<Record<string, unknown>>;
}

export class MillraceError extends Error {
  readonly code: ErrorCode;
  readonly action: ErrorAction;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, extra: MillraceErrorDetails = {}) {
    super(message, extra.cause === undefined ? undefined : { cause: extra.cause });
    this.name = "MillraceError";
    this.code = code;
    this.action = errorCodes[code].action;
    this.hint = extra.hint;
    this.details = extra.details ?? {};
  }

  /** True across copies of the module (a bundler may load two), unlike `instanceof`. */
  static is(value: unknown, code?: ErrorCode): value is MillraceError {
    return (
      value instanceof Error &&
      value.name === "MillraceError" &&
      "code" in value &&
      (code === undefined || value.code === code)
    );
  }

  /** The error as it is, or `INTERNAL_ERROR` around anything else. */
  static from(value: unknown): MillraceError {
    if (MillraceError.is(value)) return value;
    const message = value instanceof Error ? value.message : String(value);
    return new MillraceError("INTERNAL_ERROR", message, { cause: value });
  }
}

/** For a state that only a bug can bring about. Stays on in production. */
export function invariant(condition: unknown, message: string): asserts condition {
  assert.ok(condition, message);
}
