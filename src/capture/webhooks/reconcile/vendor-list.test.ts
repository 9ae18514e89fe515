import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../../../base/errors.ts";
import { VirtualClock } from "../../../base/virtual-clock.ts";
import { type ListRequest, type ReconcileDefinition, reconcileOf } from "../../../catalog/define/reconcile.ts";
import { settle } from "./vendor.fixture.ts";
import { retryAfterOf, VendorList } from "./vendor-list.ts";
import type { ListWindow } from "./windows.ts";

const window: ListWindow = { sinceMs: 0, untilMs: 1_000, cursor: null, pages: 0, last: true };

function definitionOf(list: unknown, options: Record<string, unknown> = {}): ReconcileDefinition {
  const given = { list, ...options } as never;
  return reconcileOf("webhook", given, { dedupeMs: 7 * 86_400_000, id: undefined }) as ReconcileDefinition;
}

function listOn(clock: VirtualClock, answer: (url: string) => Response = () => Response.json({})) {
  const times: number[] = [];
  const fetch = (async (url: string) => {
    times.push(clock.monotonicMs());
    return answer(url);
  }) as unknown as typeof globalThis.fetch;
  return { list: new VendorList({ source: "vendor", clock, fetch }), times };
}

const never = new AbortController().signal;

function refused(what: RegExp, retryAfterMs?: number) {
  return (error: unknown) =>
    MillraceError.is(error, "RECONCILE_FAILED") &&
    what.test(error.message) &&
    error.details.retryAfterMs === retryAfterMs;
}

test("calls of the vendor keep their rate, the first call of a page being the page's own", async () => {
  const clock = new VirtualClock();
  const { list, times } = listOn(clock);
  const definition = definitionOf(
    async ({ fetch }: ListRequest) => {
      for (let i = 0; i < 3; i++) await fetch("https://vendor.example/list");
      return { events: [] };
    },
    { ratePerSecond: 2, timeout: "300ms" },
  );
  const pages = (async () => {
    for (let page = 0; page < 2; page++) await list.page(definition, window, never);
  })();
  await settle(5);
  for (let i = 0; i < 40; i++) {
    await clock.advance(100);
    await settle(5);
  }
  await pages;
  assert.deepEqual(times, [0, 500, 1_000, 1_500, 2_000, 2_500]);
});

test("a vendor that is silent is given up, and what it answers later is nobody's", async () => {
  const clock = new VirtualClock();
  const { list } = listOn(clock);
  let answer: (page: unknown) => void = () => {};
  let signal: AbortSignal | undefined;
  const definition = definitionOf(
    (request: ListRequest) => {
      signal = request.signal;
      return new Promise((resolve) => (answer = resolve));
    },
    { timeout: "2s" },
  );
  const asked = assert.rejects(list.page(definition, window, never), refused(/silent for 2000 ms/));
  await settle(5);
  await clock.advance(2_000);
  await asked;
  assert.equal(signal?.aborted, true);
  answer({ events: [] });
});

test("an answer that is no success is thrown without its query, and nobody calls before its Retry-After", async () => {
  const clock = new VirtualClock();
  let status = 429;
  const { list, times } = listOn(clock, () => new Response(null, { status, headers: { "retry-after": "30" } }));
  const definition = definitionOf(async ({ fetch }: ListRequest) => {
    await fetch("https://vendor.example/list?key=hush");
    return { events: [] };
  });
  await assert.rejects(
    list.page(definition, window, never),
    refused(/https:\/\/vendor\.example\/list answered 429$/, 30_000),
  );
  status = 200;
  const again = list.page(definition, window, never);
  await clock.advance(29_000);
  assert.equal(times.length, 1);
  await clock.advance(1_000);
  await again;
  assert.deepEqual(times, [0, 30_000]);
});

test("the vendor's own time is told with the page", async () => {
  const clock = new VirtualClock();
  const date = "Thu, 01 Jan 2026 00:00:07 GMT";
  const { list } = listOn(clock, () => new Response("{}", { headers: { date } }));
  const definition = definitionOf(async ({ fetch }: ListRequest) => {
    await fetch("https://vendor.example/list");
    return { events: [], next: null };
  });
  assert.deepEqual(await list.page(definition, window, never), { events: [], next: null, vendorMs: Date.parse(date) });
});

test("whatever a list throws or answers is told as what is wrong with it", async () => {
  const wrong: readonly [unknown, RegExp][] = [
    [undefined, /no \{ events/],
    [{ items: [] }, /no \{ events/],
    [{ events: [], next: 7 }, /next is no text/],
    [{ events: [], next: "x".repeat(5_000) }, /next is no text/],
    [{ events: [], next: "again" }, /does not end/],
    [{ events: new Array(10_001).fill({ body: {} }) }, /10001 events/],
  ];
  for (const [answer, what] of wrong) {
    const { list } = listOn(new VirtualClock());
    const asked = list.page(
      definitionOf(() => answer),
      { ...window, cursor: "again" },
      never,
    );
    await assert.rejects(asked, refused(what));
  }
  const throws: readonly [unknown, RegExp, number?][] = [
    [new Error("broken"), /list failed: broken/],
    ["a text", /list failed: a text/],
    [null, /list failed: null/],
    [Object.assign(new Error("slow down"), { headers: { "retry-after": "5" } }), /slow down/, 5_000],
    [Object.assign(new Error("slow"), { response: { headers: new Headers({ "retry-after": "6" }) } }), /slow/, 6_000],
  ];
  for (const [thrown, what, retryAfterMs] of throws) {
    const { list } = listOn(new VirtualClock());
    const definition = definitionOf(() => {
      throw thrown;
    });
    await assert.rejects(list.page(definition, window, never), refused(what, retryAfterMs));
  }
});

test("Retry-After is seconds or a date, else the end of the limit when nothing is left of it", () => {
  const nowMs = Date.UTC(2026, 0, 1);
  assert.equal(retryAfterOf({ "retry-after": "7" }, nowMs), 7_000);
  assert.equal(retryAfterOf(new Headers({ "retry-after": "Thu, 01 Jan 2026 00:01:00 GMT" }), nowMs), 60_000);
  assert.equal(retryAfterOf({ "retry-after": "Wed, 31 Dec 2025 00:00:00 GMT" }, nowMs), 0);
  assert.equal(retryAfterOf({ "retry-after": "999999999" }, nowMs), 3_600_000);
  const reset = String(nowMs / 1_000 + 90);
  assert.equal(retryAfterOf({ "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset }, nowMs), 90_000);
  assert.equal(retryAfterOf({ "x-ratelimit-remaining": "3", "x-ratelimit-reset": reset }, nowMs), undefined);
  for (const headers of [undefined, null, 7, {}, { "retry-after": "soon" }, { "retry-after": {} }]) {
    assert.equal(retryAfterOf(headers, nowMs), undefined);
  }
});
