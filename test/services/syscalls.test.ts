import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { findStrace } from "../../tools/services.ts";

const root = new URL("../../", import.meta.url).pathname;
const strace = findStrace();

function reasonToSkip(): string | false {
  if (process.platform !== "linux") return "skipped: strace is Linux's";
  if (strace === undefined) return "skipped: no strace on this machine (apt-get install strace)";
  const { status } = spawnSync(strace, ["-f", "-c", "-o", "/dev/null", "true"]);
  return status === 0 ? false : "skipped: strace may not watch a process here (ptrace is forbidden)";
}

/** What `syscalls/append.ts` does. */
interface Work {
  readonly kind: "append" | "transact";
  readonly callers: number;
  readonly times: number;
  readonly partitions: number;
}

/** How many syncs of files and folders the work costs, beside those of the start. */
function syncsOf(work: Work): number {
  return syncsOfRun(work) - syncsOfRun({ ...work, times: 0 });
}

function syncsOfRun({ kind, callers, times, partitions }: Work): number {
  const folder = mkdtempSync(join(tmpdir(), "millrace-syscalls-"));
  try {
    const summary = join(folder, "summary");
    const watched = [process.execPath, "-C", "source", join(root, "test/services/syscalls/append.ts")];
    const { status, stderr } = spawnSync(
      strace ?? "",
      ["-f", "-c", "-e", "trace=fdatasync,fsync", "-o", summary, ...watched, join(folder, "log")].concat(
        [kind, callers, times, partitions].map(String),
      ),
      { cwd: root, encoding: "utf8" },
    );
    assert.equal(status, 0, stderr);
    // "% time  seconds  usecs/call  calls  errors  syscall", errors being empty when there are none.
    const lines = readFileSync(summary, "utf8").matchAll(/^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?f(?:data)?sync$/gm);
    const counts = [...lines].map(([, calls]) => Number(calls));
    assert.ok(counts.length > 0, "nothing was counted");
    return counts.reduce((sum, count) => sum + count, 0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe("system calls of appends", { skip: reasonToSkip() }, () => {
  test("one caller's appends cost one sync each: each is durable when it answers, and nothing is synced twice", (t) => {
    const appends = 300;
    const syncs = syncsOf({ kind: "append", callers: 1, times: appends, partitions: 1 });
    t.diagnostic(`${syncs} syncs for ${appends} appends`);
    assert.ok(syncs >= appends, `${syncs} syncs for ${appends} appends`);
    assert.ok(syncs <= appends * 1.05, `${syncs} syncs for ${appends} appends`);
  });

  for (const partitions of [1, 64]) {
    const where = partitions === 1 ? "of one partition" : "of a partition each";
    test(`64 callers ${where} share their syncs: fewer than one for five appends`, (t) => {
      const appends = 64 * 40;
      const syncs = syncsOf({ kind: "append", callers: 64, times: 40, partitions });
      t.diagnostic(`${syncs} syncs for ${appends} appends`);
      assert.ok(syncs >= 40, `${syncs} syncs: an append of each caller waits for the one before`);
      assert.ok(syncs < appends * 0.2, `${syncs} syncs for ${appends} appends`);
    });
  }

  test("a transaction over six partitions costs one sync: its records and the decision go down together", (t) => {
    const transactions = 200;
    const syncs = syncsOf({ kind: "transact", callers: 1, times: transactions, partitions: 6 });
    t.diagnostic(`${syncs} syncs for ${transactions} transactions`);
    assert.ok(syncs >= transactions, `${syncs} syncs for ${transactions} transactions`);
    assert.ok(syncs <= transactions * 1.05, `${syncs} syncs for ${transactions} transactions`);
  });
});
