/**
 * Windows against a vendor's time line: whatever is killed, fails or jumps, every moment was asked for or was told to be
 * lost, and no window reaches behind what ids are known for. `MILLRACE_MODEL_RUNS` histories, each of a seed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Random, seededRandom } from "../../../base/random.ts";
import {
  afterFailures,
  afterPage,
  backTo,
  endsPass,
  freshState,
  planWindow,
  type ReconcileState,
  readState,
  type Span,
  stateRecord,
  type WindowRules,
} from "./windows.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const rules: WindowRules = { overlapMs: 15 * minute, graceMs: minute, lookBackMs: 15 * minute, windowMs: hour };
const dedupeMs = 7 * day;
const runs = Number(process.env.MILLRACE_MODEL_RUNS ?? 100);
/** Until one is caught. */
const canaryRuns = 5_000;

/** What is wrong on purpose: the law has to notice it. */
interface Parts {
  readonly plan: typeof planWindow;
  readonly after: typeof afterPage;
}

class World {
  /** The vendor's time, which is the true one. */
  nowMs = Date.UTC(2026, 0, 1);
  /** How far this machine's clock is ahead of it. */
  skewMs = 0;
  state: ReconcileState = freshState;
  readonly asked: Span[] = [];
  readonly told: Span[] = [];
  /** Where the first window of all began. */
  beganMs: number | undefined;
  readonly #random: Random;
  readonly #tellsTime: boolean;
  readonly #parts: Parts;
  #durable: unknown;

  constructor(random: Random, tellsTime: boolean, parts: Parts) {
    this.#random = random;
    this.#tellsTime = tellsTime;
    this.#parts = parts;
  }

  get clock() {
    return { nowMs: this.nowMs + this.skewMs, idsSinceMs: this.nowMs - dedupeMs };
  }

  kill(): void {
    this.state = readState(this.#durable) ?? freshState;
  }

  write(state: ReconcileState): void {
    this.state = state;
    this.#durable = JSON.parse(JSON.stringify(stateRecord(state)));
    if (state.gap) this.told.push(state.gap);
  }

  /** Ends when there is nothing to ask for, by a kill, or after so many pages. */
  pass(pagesMax = 10_000): void {
    const random = this.#random;
    for (let page = 0; page < pagesMax; page++) {
      const isFirst = this.state.completeMs === null;
      this.state = this.#parts.plan(this.state, this.clock, rules);
      const { window } = this.state;
      if (!window) return;
      // As the reconciler does.
      if (isFirst) this.write(this.state);
      this.beganMs ??= window.sinceMs;
      assert.ok(window.sinceMs >= this.clock.idsSinceMs, "a window reaches behind what ids are known for");
      assert.ok(window.untilMs > window.sinceMs, "a window is empty");
      if (random.below(8) === 0) {
        this.state = afterFailures(this.state, 1 + random.below(4));
        continue;
      }
      const next = random.below(3) === 0 ? `page ${page}` : null;
      const end = { next, vendorMs: this.#tellsTime ? this.nowMs : undefined };
      // A list has what has happened.
      if (next === null) this.asked.push({ fromMs: window.sinceMs, toMs: Math.min(window.untilMs, this.nowMs) });
      const state = this.#parts.after(this.state, end, rules);
      if (random.below(12) === 0) {
        this.kill();
        return;
      }
      this.write(state);
      this.nowMs += random.below(2_000);
      if (endsPass(window, end, rules)) return;
    }
    assert.ok(pagesMax < 10_000, "a pass does not end");
  }
}

function history(seed: number, parts: Parts): void {
  const random = seededRandom(seed);
  const tellsTime = random.below(2) === 0;
  const world = new World(random, tellsTime, parts);
  const skewMax = tellsTime ? 20 * day : rules.overlapMs;
  for (let step = 0; step < 15; step++) {
    world.pass(random.below(2) === 0 ? 10_000 - 1 : 1 + random.below(4));
    // Mostly minutes, at times a downtime that is longer than ids are known for.
    world.nowMs += random.below([5 * minute, 5 * minute, 3 * hour, 2 * day, 9 * day][random.below(5)] as number);
    if (random.below(4) === 0) world.skewMs = (random.below(2) === 0 ? 1 : -1) * random.below(skewMax);
    if (random.below(3) === 0) world.skewMs = 0;
    if (random.below(5) === 0) world.kill();
    if (random.below(9) === 0) {
      world.write(backTo(world.state, world.nowMs - random.below(8 * day), world.clock, rules));
    }
  }
  world.skewMs = 0;
  // Kills go on: each loses a page, and none loses what was written.
  for (let passes = 0; passes < 3 || (world.state.completeMs ?? 0) < world.nowMs - 10 * minute; passes++) {
    assert.ok(passes < 1_000, "passes do not reach the present");
    world.nowMs += 5 * minute;
    world.pass();
  }
  judge(world);
}

function judge({ asked, told, nowMs, beganMs = nowMs }: World): void {
  let reachedMs = beganMs;
  for (const { fromMs, toMs } of [...asked, ...told].sort((a, b) => a.fromMs - b.fromMs)) {
    if (fromMs > reachedMs) break;
    reachedMs = Math.max(reachedMs, toMs);
  }
  const wantedMs = nowMs - 10 * minute;
  if (reachedMs < wantedMs) assert.fail(`nobody asked for what came after ${new Date(reachedMs).toISOString()}`);
}

function histories(parts: Parts, count: number): void {
  for (let seed = 1; seed <= count; seed++) {
    try {
      history(seed, parts);
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
}

const asItIs: Parts = { plan: planWindow, after: afterPage };

test("whatever is killed, fails or jumps, every moment is asked for or told, and none behind what ids are known for", () => {
  histories(asItIs, runs);
});

test("the law notices a window that is complete before its last page is kept", () => {
  const after: typeof afterPage = (state, page, given) => ({
    ...afterPage(state, page, given),
    completeMs: state.window?.untilMs ?? null,
  });
  assert.throws(() => histories({ ...asItIs, after }, canaryRuns), /nobody asked/);
});

test("the law notices a plan that forgets a clock that was ahead", () => {
  const after: typeof afterPage = (state, { next }, given) => afterPage(state, { next, vendorMs: undefined }, given);
  assert.throws(() => histories({ ...asItIs, after }, canaryRuns), /nobody asked|does not end/);
});

test("the law notices a plan that reaches behind what ids are known for", () => {
  const plan: typeof planWindow = (state, clock, given) => planWindow(state, { ...clock, idsSinceMs: 0 }, given);
  assert.throws(() => histories({ ...asItIs, plan }, canaryRuns), /behind what ids/);
});

test("what was asked for is read back as it was written, and anything else is begun anew", () => {
  const window = { sinceMs: 1, untilMs: 2, cursor: "c", pages: 3, last: true };
  const state: ReconcileState = { completeMs: 5, window, gap: { fromMs: 1, toMs: 2 } };
  assert.deepEqual(readState(JSON.parse(JSON.stringify(stateRecord(state)))), state);
  const wrong = [undefined, null, 1, {}, { version: 2 }, { version: 1, completeMs: "5", window: null, gap: null }];
  for (const value of [
    ...wrong,
    { ...stateRecord(state), window: { sinceMs: 1 } },
    { ...stateRecord(state), gap: {} },
  ]) {
    assert.equal(readState(value), undefined);
  }
});
