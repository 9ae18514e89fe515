/**
 * Every code that a caller can see, by area. `http` is the status of a problem document (RFC 9457), `exit` the exit code of
 * the command line (0 done, 1 failed, 2 usage, 3 set-up, 4 wait and retry), `kafka` the protocol's error where there is
 * one. Codes are `NOUN_REASON` and never change their meaning.
 */
import { groupCodes } from "./error-codes/groups.ts";
import { logCodes } from "./error-codes/log.ts";
import { programCodes } from "./error-codes/program.ts";
import { requestCodes } from "./error-codes/requests.ts";
import { schemaCodes } from "./error-codes/schemas.ts";
import { sourceCodes } from "./error-codes/sources.ts";
import { storeCodes } from "./error-codes/store.ts";
import { viewCodes } from "./error-codes/views.ts";

export type { ErrorAction, ErrorCodeEntry } from "./error-codes/entry.ts";

export const errorCodes = {
  ...requestCodes,
  ...logCodes,
  ...groupCodes,
  ...programCodes,
  ...storeCodes,
  ...sourceCodes,
  ...viewCodes,
  ...schemaCodes,
} as const;

export type ErrorCode = keyof typeof errorCodes;
