import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../../src/base/clock.ts";
import { seededRandom } from "../../../src/base/random.ts";
import type { SourceAnswer } from "../../../src/cli/answers.ts";
import { eventually, type Program, runProgram } from "../../support/program.ts";

const kills = process.env.MILLRACE_SOAK === "1" ? 40 : 1;
const perPage = 5;
const script = ["src/cli/millrace.ts", "start", "test/crash/process/reconcile-app.ts"];

interface VendorEvent {
  readonly id: string;
  readonly account: string;
  readonly atMs: number;
}

/** A list in pages, newest first; events are put in while it is asked. */
async function openVendor() {
  const events: VendorEvent[] = [];
  let pages = 0;
  const server = createServer((request, response) => {
    const query = new URL(request.url ?? "/", "http://vendor").searchParams;
    const [since, until] = [Number(query.get("since")), Number(query.get("until"))];
    const inside = events.filter(({ atMs }) => atMs >= since && atMs < until).reverse();
    const from = inside.findIndex(({ id }) => id === query.get("after")) + 1;
    const page = inside.slice(from, from + perPage);
    const next = from + perPage < inside.length ? page.at(-1)?.id : null;
    pages++;
    response.end(JSON.stringify({ events: page.map((body) => ({ body })), next }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    events,
    pages: () => pages,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test("what calls did not bring is kept once, wherever passes are killed", async (t) => {
  const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const data = mkdtempSync(join(tmpdir(), "millrace-reconcile-"));
  const vendor = await openVendor();
  const env = { VENDOR_URL: vendor.url };
  try {
    for (let kill = 0; kill < kills; kill++) {
      // Enough for a pass that takes longer than the program lives.
      for (let i = 0; i < 1_000; i++) {
        const n = vendor.events.length;
        vendor.events.push({ id: `evt_${n}`, account: `a${n % 20}`, atMs: systemClock.now() });
      }
      const program = await runProgram({ script, data, env });
      try {
        const before = vendor.pages();
        await eventually(async () => (vendor.pages() > before + random.below(100) ? true : undefined));
        await Promise.all(vendor.events.filter((_, n) => n % 7 === 0).map((event) => call(program, event)));
      } finally {
        await program.kill();
      }
    }
    await using program = await runProgram({ script, data, env });
    const source = await eventually(async () => {
      const now = (await (await fetch(`${program.address}/v1/sources/vendor`)).json()) as SourceAnswer;
      return (now.hook?.reconcile?.passes ?? 0) > 1 ? now : undefined;
    });
    assert.equal(source.hook?.reconcile?.altered, 0);
    const ids = await idsOf(program.address);
    t.diagnostic(`${vendor.events.length} events, ${vendor.pages()} pages`);
    assert.equal(new Set(ids).size, ids.length, "an event is there twice");
    assert.deepEqual(new Set(ids), new Set(vendor.events.map(({ id }) => id)));
  } finally {
    await vendor.close();
    rmSync(data, { recursive: true, force: true });
  }
});

/** A call that is not answered is one that the list makes good. */
async function call(program: Program, event: VendorEvent): Promise<void> {
  const body = JSON.stringify(event);
  const mac = createHmac("sha256", "kill-test").update(body).digest("hex");
  const headers = { "content-type": "application/json", "x-mac": mac };
  await fetch(`${program.address}/v1/hooks/vendor`, { method: "POST", headers, body }).catch(() => undefined);
}

async function idsOf(address: string): Promise<string[]> {
  const ids: string[] = [];
  for (let from = "earliest"; ; ) {
    const response = await fetch(`${address}/v1/topics/vendor/events?from=${encodeURIComponent(from)}&limit=1000`);
    const { events, next } = (await response.json()) as { events: { value: { id: string } }[]; next: string };
    if (events.length === 0) return ids;
    ids.push(...events.map(({ value }) => value.id));
    from = next;
  }
}
