import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../../src/base/clock.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { type Program, runProgram } from "../../support/program.ts";

interface Place {
  readonly partition: number;
  readonly offset: number;
}

interface Read extends Place {
  readonly value: { readonly n: number };
}

const long = process.env.MILLRACE_SOAK === "1";
const kills = long ? 40 : 4;
const writers = 8;
const script = ["src/cli/millrace.ts", "start", "test/crash/process/empty-app.ts"];

test("every event that was acknowledged over HTTP is there after kill -9, at its place, and nothing else but what was sent", async (t) => {
  const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const data = mkdtempSync(join(tmpdir(), "millrace-acknowledged-"));
  const acknowledged = new Map<number, Place>();
  let sent = 0;
  try {
    for (let kill = 0; kill < kills; kill++) {
      const program = await runProgram({ script, data });
      try {
        await fetch(`${program.address}/v1/topics/acks`, {
          method: "PUT",
          headers: { "content-type": "application/json" },
          body: '{"partitions":3}',
        });
        const writing = Array.from({ length: writers }, () => write(program));
        await systemClock.sleep(200 + random.below(800));
        await program.kill();
        await Promise.all(writing);
      } finally {
        await program.kill();
      }
    }
    t.diagnostic(`${sent} sent, ${acknowledged.size} acknowledged`);
    assert.ok(acknowledged.size > kills * writers);
    await using program = await runProgram({ script, data });
    const found = await readAll(program.address);
    const seen = new Map<number, Place>();
    for (const { partition, offset, value } of found) {
      assert.ok(value.n < sent, `event ${value.n} was never sent`);
      assert.ok(!seen.has(value.n), `event ${value.n} is there twice`);
      seen.set(value.n, { partition, offset });
    }
    for (const [n, place] of acknowledged)
      assert.deepEqual(seen.get(n), place, `event ${n} is not where it was acknowledged`);
  } finally {
    rmSync(data, { recursive: true, force: true });
  }

  async function write(program: Program): Promise<void> {
    for (;;) {
      const n = sent++;
      try {
        const response = await fetch(`${program.address}/v1/topics/acks`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ key: `k${n % 50}`, value: { n } }),
        });
        const answer = (await response.json()) as { offsets: [{ partition: number; baseOffset: number }] };
        assert.equal(response.status, 200, JSON.stringify(answer));
        const [place] = answer.offsets;
        acknowledged.set(n, { partition: place.partition, offset: place.baseOffset });
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        return;
      }
    }
  }
});

async function readAll(address: string): Promise<readonly Read[]> {
  const all: Read[] = [];
  for (let from = "earliest"; ; ) {
    const response = await fetch(`${address}/v1/topics/acks/events?from=${encodeURIComponent(from)}&limit=1000`);
    const { events, next } = (await response.json()) as { events: Read[]; next: string };
    if (events.length === 0) return all;
    all.push(...events);
    from = next;
  }
}
