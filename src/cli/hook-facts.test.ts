import assert from "node:assert/strict";
import { test } from "node:test";
import type { SourceAnswer } from "./answers.ts";
import { printHook } from "./hook-facts.ts";
import type { Terminal } from "./terminal.ts";

test("a source of webhooks is shown with what it kept, what it refused and why", () => {
  const lines: string[] = [];
  const terminal = { print: (line: string) => lines.push(line), style: (_: string, text: string) => text };
  const hook = {
    verifier: "stripeSignature",
    topic: "stripe",
    accepted: 12,
    duplicates: 3,
    challenges: 1,
    refused: { signature: 2, size: 0, mediaType: 0, quota: 5, busy: 0, unavailable: 0, form: 0, method: 0, foreign: 0 },
    faults: { id: 0, key: 0, type: 0, sequence: 0 },
    late: 0,
    lastEventAt: "2026-01-01T00:00:00.000Z",
    ids: { held: 12, max: 2_000_000, bytes: 1_839_104, evicted: 0 },
    reconcile: {
      state: "waiting",
      completeTo: "2026-01-01T00:05:00.000Z",
      window: null,
      gap: null,
      nextAt: "2026-01-01T00:10:00.000Z",
      error: null,
      passes: 3,
      pages: 4,
      failures: 0,
      listed: 40,
      missed: 2,
      altered: 1,
      corrected: 0,
      unusable: { form: 0, size: 0, id: 0 },
      uncompared: 0,
      recent: [{ kind: "missed", id: "evt_7", partition: 0, offset: 11, at: "2026-01-01T00:05:01.000Z" }],
    },
  } as const;
  const source = {
    name: "stripe",
    type: "webhook",
    url: "/v1/hooks/stripe",
    state: { kind: "streaming" },
    warnings: ["look here"],
  };
  printHook(terminal as unknown as Terminal, source as unknown as SourceAnswer, hook);
  const shown = lines.join("\n");
  for (const part of [
    "/v1/hooks/stripe",
    "12 kept, 3 copies, 1 challenges",
    "2 signature, 5 quota",
    "up to 2026-01-01T00:05:00.000Z",
    "40 listed, 2 missed, 1 altered, 0 corrected",
    "missed  evt_7 at 0/11",
    "look here",
  ]) {
    assert.ok(shown.includes(part), `${part} is not in\n${shown}`);
  }
  assert.ok(!shown.includes("late"));
});
