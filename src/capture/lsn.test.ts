import assert from "node:assert/strict";
import { test } from "node:test";
import { parseLsn, printLsn, readLsn, readTimestampUs, writeLsn, writeTimestampMs } from "./lsn.ts";

test("positions print and parse as PostgreSQL's, and survive the wire", () => {
  for (const text of ["0/0", "0/16B3748", "16/B374D848", "1FFFFF/FFFFFFFF"]) {
    const lsn = parseLsn(text);
    assert.equal(printLsn(lsn), text);
    const bytes = Buffer.alloc(9);
    writeLsn(bytes, lsn, 1);
    assert.equal(readLsn(bytes, 1), lsn);
  }
  assert.ok(parseLsn("1/0") > parseLsn("0/FFFFFFFF"));
  assert.throws(() => parseLsn("16-B3"));
});

test("times survive the wire, before and after PostgreSQL's epoch", () => {
  for (const ms of [0, 946_684_800_000, 946_684_799_999, 1_800_000_000_123]) {
    const bytes = Buffer.alloc(8);
    writeTimestampMs(bytes, ms, 0);
    assert.equal(readTimestampUs(bytes, 0), ms * 1000);
  }
});
