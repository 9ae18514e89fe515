/** How reading compressed records fails, whatever the codec. */
import { MillraceError } from "../base/errors.ts";

export function damagedRecords(codecName: string, what: string, cause?: unknown): never {
  throw new MillraceError("BATCH_CORRUPT", `compressed records (${codecName}) are damaged: ${what}`, { cause });
}

export function tooLargeRecords(recordsBytesMax: number): never {
  throw new MillraceError("RECORD_TOO_LARGE", `compressed records are larger than ${recordsBytesMax} bytes`, {
    hint: "Send smaller batches: the limit is on what a batch holds when it is not compressed.",
    details: { recordsBytesMax },
  });
}
