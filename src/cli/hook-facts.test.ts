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
  };
  const source = {
    name: "stripe",
    type: "webhook",
    url: "/v1/hooks/stripe",
    state: { kind: "streaming" },
    warnings: ["look here"],
  };
  printHook(terminal as unknown as Terminal, source as unknown as SourceAnswer, hook);
  const shown = lines.join("\n");
  for (const part of ["/v1/hooks/stripe", "12 kept, 3 copies, 1 challenges", "2 signature, 5 quota", "look here"]) {
    assert.ok(shown.includes(part), `${part} is not in\n${shown}`);
  }
  assert.ok(!shown.includes("late"));
});
