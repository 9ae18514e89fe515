import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { arrange, collectDefinitions } from "./collect.ts";
import { postgres, topic, type WebhookOptions, type WebhookVerifier, webhook } from "./definitions.ts";

const verify: WebhookVerifier = {
  kind: "verifier",
  name: "none",
  mediaTypes: null,
  keepHeaders: ["X-Vendor"],
  answer: "json",
  authenticate: null,
  verifies: true,
  verify: () => ({ ok: true }),
  id: () => undefined,
};

function isInvalid(what: RegExp) {
  return (error: unknown) =>
    MillraceError.is(error, "DEFINITION_INVALID") && what.test(`${error.message} ${error.hint}`);
}

test("a webhook says how it is verified and has defaults for everything else", () => {
  const { kind, name, partitions, retentionMs, dedupeMs, idsMax, bodyBytesMax, ratePerSecond, keepHeaders } = webhook(
    "stripe",
    { verify },
  );
  assert.deepEqual(
    { kind, name, partitions, retentionMs, dedupeMs, idsMax, bodyBytesMax, ratePerSecond, keepHeaders },
    {
      kind: "webhook",
      name: "stripe",
      partitions: 1,
      retentionMs: 30 * 86_400_000,
      dedupeMs: 7 * 86_400_000,
      idsMax: 2_000_000,
      bodyBytesMax: 1_048_576,
      ratePerSecond: 2_000,
      keepHeaders: ["x-vendor"],
    },
  );
  assert.throws(() => webhook("stripe", {} as never), isInvalid(/noVerification/));
});

test("events of a webhook may be kept for ever", () => {
  assert.equal(webhook("stripe", { verify, retention: "forever" }).retentionMs, null);
});

test("options that cannot be are refused with what they can be", () => {
  const wrong: readonly [Partial<Record<keyof WebhookOptions | "secret", unknown>>, RegExp][] = [
    [{ dedupe: { for: "6d" } }, /7d/],
    [{ dedupe: { for: 604_800_000 } }, /unit/],
    [{ dedupe: { forMs: 1 } }, /forMs/],
    [{ dedupe: { for: "20d" }, retention: "19d" }, /20d/],
    [{ dedupe: { idsMax: 0 } }, /idsMax/],
    [{ bodyMax: "33MB" }, /32MB/],
    [{ bodyMax: 100 }, /unit/],
    [{ ratePerSecond: 0 }, /null/],
    [{ partitions: 1.5 }, /partitions/],
    [{ keepHeaders: ["Authorization"] }, /authorization/],
    [{ keepHeaders: ["no header"] }, /no header/],
    [{ id: "header" }, /id/],
    [{ key: "account" }, /key/],
    [{ challenge: {} }, /challenge/],
    [{ secret: "s" }, /secret/],
  ];
  for (const [options, what] of wrong) {
    assert.throws(() => webhook("stripe", { verify, ...options } as never), isInvalid(what), JSON.stringify(options));
  }
});

test("webhooks are collected, and share their names with sources and topics", () => {
  const stripe = webhook("stripe", { verify });
  assert.deepEqual(arrange(collectDefinitions({ stripe, other: 1 })).webhooks, [stripe]);
  const shop = postgres("stripe", { url: "postgres://localhost/shop", tables: ["orders"] });
  const taken = postgres("shop", { url: "postgres://localhost/shop", tables: [{ name: "orders", topic: "stripe" }] });
  const isDuplicate = (error: unknown) => MillraceError.is(error, "DEFINITION_DUPLICATE");
  assert.throws(() => arrange([stripe, webhook("stripe", { verify })]), isDuplicate);
  assert.throws(() => arrange([stripe, shop]), isDuplicate);
  assert.throws(() => arrange([stripe, topic("stripe") as never]), isDuplicate);
  assert.throws(
    () => arrange([stripe, taken]),
    (error) => MillraceError.is(error, "SOURCE_TOPIC_COLLISION"),
  );
});

test("reconciling has defaults for everything but the list, and what cannot be is refused with what it can be", () => {
  const list = async () => ({ events: [] });
  const { reconcile } = webhook("stripe", { verify, reconcile: { list } });
  assert.deepEqual(reconcile, {
    list,
    everyMs: 300_000,
    overlapMs: 900_000,
    graceMs: 60_000,
    lookBackMs: 900_000,
    windowMs: 3_600_000,
    ratePerSecond: 1,
    timeoutMs: 30_000,
    compare: undefined,
    altered: "report",
  });
  assert.equal(webhook("stripe", { verify }).reconcile, undefined);
  const wrong: readonly [Record<string, unknown>, RegExp][] = [
    [{ list: undefined }, /list/],
    [{ evry: "5m" }, /evry/],
    [{ every: "10ms" }, /1s/],
    [{ every: 300 }, /unit/],
    [{ overlap: "7d" }, /144h/],
    [{ lookBack: "8d" }, /144h/],
    [{ grace: "2d" }, /24h/],
    [{ window: "1ms" }, /1s/],
    [{ timeout: "1ms" }, /100ms/],
    [{ ratePerSecond: 0 }, /1,000/],
    [{ compare: "id" }, /compare/],
    [{ altered: "repair" }, /append/],
  ];
  for (const [options, what] of wrong) {
    assert.throws(() => webhook("stripe", { verify, reconcile: { list, ...options } as never }), isInvalid(what));
  }
  assert.throws(() => webhook("stripe", { verify, id: "body", reconcile: { list } }), isInvalid(/one id/));
  assert.throws(() => webhook("stripe", { verify, reconcile: null as never }), isInvalid(/list/));
});
