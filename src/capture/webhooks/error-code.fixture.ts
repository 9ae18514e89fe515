/** For `assert.rejects` and `assert.throws`. */
import type { ErrorCode } from "../../base/error-codes.ts";
import { MillraceError } from "../../base/errors.ts";

export function hasErrorCode(code: ErrorCode): (error: unknown) => boolean {
  return (error) => MillraceError.is(error, code);
}
