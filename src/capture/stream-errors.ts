/** How a stream ends that cannot go on. */
import { MillraceError } from "../base/errors.ts";
import type { TwoPhaseStep } from "./pgoutput.ts";

export function sessionOver(): MillraceError {
  return new MillraceError("SOURCE_UNREACHABLE", "the stream of the source ended", { hint: "Try again in a moment." });
}

/** Our slots are made without two-phase decoding: this one was altered. */
export function preparedRefused({ kind, gid }: TwoPhaseStep): MillraceError {
  return new MillraceError(
    "SOURCE_SLOT_FOREIGN",
    `the slot decodes prepared transactions (${kind} of "${gid.slice(0, 200)}")`,
    {
      hint: "It was altered. On PostgreSQL 18 set it back: ALTER_REPLICATION_SLOT … (TWO_PHASE false); else read the source anew.",
    },
  );
}
