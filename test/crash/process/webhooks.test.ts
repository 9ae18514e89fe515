import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../../src/base/clock.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { eventually, type Program, runProgram } from "../../support/program.ts";

interface Place {
  readonly partition: number;
  readonly offset: number;
}

const long = process.env.MILLRACE_SOAK === "1";
const kills = long ? 40 : 2;
const senders = 8;
const script = ["src/cli/millrace.ts", "start", "test/crash/process/webhooks-app.ts"];

test("a vendor that sends everything twice at once, and all of it again after kill -9, makes one event per id", async (t) => {
  const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const data = mkdtempSync(join(tmpdir(), "millrace-webhooks-"));
  const answered = new Map<number, Place>();
  let sent = 0;
  try {
    for (let kill = 0; kill < kills; kill++) {
      const program = await runProgram({ script, data });
      try {
        const sending = Array.from({ length: senders }, () => sendOn(program));
        const before = answered.size;
        await systemClock.sleep(200 + random.below(800));
        // On a machine that is busy the first answers may take longer than that.
        await eventually(async () => answered.size > before + senders || undefined);
        await program.kill();
        await Promise.all(sending);
      } finally {
        await program.kill();
      }
    }
    t.diagnostic(`${sent} sent, ${answered.size} answered`);
    assert.ok(answered.size > kills * senders);
    await using program = await runProgram({ script, data });
    await whenServing(program);
    for (let n = 0; n < sent; n++) assert.ok(await send(program, n), `event ${n} is refused`);
    const seen = new Map<string, Place>();
    for (const { partition, offset, value } of await readAll(program.address)) {
      assert.ok(!seen.has(value.id), `${value.id} is there twice`);
      seen.set(value.id, { partition, offset });
    }
    assert.equal(seen.size, sent);
    for (const [n, place] of answered) assert.deepEqual(seen.get(`evt_${n}`), place, `event ${n} is somewhere else`);
    const source = (await (await fetch(`${program.address}/v1/sources/vendor`)).json()) as {
      hook: { duplicates: number };
    };
    assert.ok(source.hook.duplicates >= answered.size / 2);
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
    const body = JSON.stringify({ id: `evt_${n}`, account: `a${n % 20}` });
    const mac = createHmac("sha256", "kill-test").update(body).digest("hex");
    let response: Response;
    try {
      response = await fetch(`${program.address}/v1/hooks/vendor`, {
        method: "POST",
        headers: { "content-type": "application/json", "x-mac": mac, "x-id": `evt_${n}` },
        body,
      });
      if (response.status !== 200) {
        await response.arrayBuffer();
        return false;
      }
      const { partition, offset } = (await response.json()) as Place;
      const before = answered.get(n);
      if (before) assert.deepEqual({ partition, offset }, before, `event ${n} was answered with two places`);
      answered.set(n, { partition, offset });
      return true;
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      return false;
    }
  }
});

async function whenServing(program: Program): Promise<void> {
  for (;;) {
    const source = (await (await fetch(`${program.address}/v1/sources/vendor`)).json()) as { state: { kind: string } };
    if (source.state.kind === "streaming") return;
    await systemClock.sleep(20);
  }
}

async function readAll(address: string) {
  const all: (Place & { readonly value: { readonly id: string } })[] = [];
  for (let from = "earliest"; ; ) {
    const response = await fetch(`${address}/v1/topics/vendor/events?from=${encodeURIComponent(from)}&limit=1000`);
    const { events, next } = (await response.json()) as { events: typeof all; next: string };
    if (events.length === 0) return all;
    all.push(...events);
    from = next;
  }
}
