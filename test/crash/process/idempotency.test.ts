import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../../src/base/clock.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { type Program, runProgram } from "../../support/program.ts";

const long = process.env.MILLRACE_SOAK === "1";
const kills = long ? 40 : 2;
const senders = 8;
const script = ["src/cli/millrace.ts", "start", "test/crash/process/empty-app.ts"];

test("a client that sends every request twice at once, and all of them again after kill -9, makes one append of each", async (t) => {
  const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const data = mkdtempSync(join(tmpdir(), "millrace-idempotency-"));
  /** The answers as they came, by request. */
  const answered = new Map<number, string>();
  let sent = 0;
  let replayed = 0;
  try {
    for (let kill = 0; kill < kills; kill++) {
      const program = await runProgram({ script, data });
      try {
        const created = await fetch(`${program.address}/v1/topics/payments`, {
          method: "PUT",
          headers: { "content-type": "application/json" },
          body: '{"partitions":3}',
        });
        assert.ok(created.ok, await created.text());
        const sending = Array.from({ length: senders }, () => sendOn(program));
        await systemClock.sleep(200 + random.below(800));
        await program.kill();
        await Promise.all(sending);
      } finally {
        await program.kill();
      }
    }
    t.diagnostic(`${sent} sent, ${answered.size} answered, ${replayed} of them once more`);
    assert.ok(answered.size > kills * senders);
    await using program = await runProgram({ script, data });
    for (let n = 0; n < sent; n++) assert.ok(await send(program, n), `request ${n} is refused`);
    const seen = new Map<number, number>();
    for (const value of await readAll(program.address)) seen.set(value.n, (seen.get(value.n) ?? 0) + 1);
    assert.equal(seen.size, sent);
    for (const [n, count] of seen) assert.equal(count, 2, `request ${n} is there in part, or more than once`);
    assert.ok(replayed >= answered.size / 2);
  } finally {
    rmSync(data, { recursive: true, force: true });
  }

  async function sendOn(program: Program): Promise<void> {
    while (program.process.exitCode === null && program.process.signalCode === null) {
      const n = random.below(4) === 0 && sent > 0 ? random.below(sent) : sent++;
      await Promise.all([send(program, n), send(program, n)]);
    }
  }

  /** False when it was not answered with success. */
  async function send(program: Program, n: number): Promise<boolean> {
    const events = ["a", "b"].map((part) => ({ key: `${part}${n}`, value: { n, part } }));
    let text: string;
    try {
      const response = await fetch(`${program.address}/v1/topics/payments`, {
        method: "POST",
        headers: { "content-type": "application/json", "idempotency-key": `request-${n}` },
        body: JSON.stringify(events),
      });
      text = await response.text();
      if (response.status !== 200) return false;
      if (response.headers.has("idempotent-replayed")) replayed++;
    } catch {
      return false;
    }
    const before = answered.get(n);
    if (before !== undefined) assert.equal(text, before, `request ${n} was answered in two ways`);
    answered.set(n, text);
    return true;
  }
});

async function readAll(address: string): Promise<{ readonly n: number }[]> {
  const all: { readonly n: number }[] = [];
  for (let from = "earliest"; ; ) {
    const response = await fetch(`${address}/v1/topics/payments/events?from=${encodeURIComponent(from)}&limit=1000`);
    const { events, next } = (await response.json()) as { events: { value: { n: number } }[]; next: string };
    if (events.length === 0) return all;
    all.push(...events.map(({ value }) => value));
    from = next;
  }
}
