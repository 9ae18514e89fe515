/**
 * The law of reads by key: an answer is the row at the position that it states, and that position is not older than any
 * that the process had told before the read began, whatever is committed, told, read, evicted, swapped and forgotten
 * meanwhile and in whichever order the store's snapshots are taken and its answers arrive.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type ChangedKeys, RowCache, type RowSource } from "./row-cache.ts";
import type { EncodedRow, GroupPosition, RowAnswer } from "./view-info.ts";

type Step =
  | { readonly do: "commit"; readonly keys: readonly number[]; readonly gone: boolean }
  | { readonly do: "tell" | "generation" | "forget" | "version" | "other" }
  | { readonly do: "read"; readonly key: number }
  | { readonly do: "settle"; readonly count: number };

const key = fc.integer({ min: 0, max: 2 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("commit" as const),
      keys: fc.uniqueArray(key, { maxLength: 2 }),
      gone: fc.boolean(),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("tell" as const) }) },
  { weight: 14, arbitrary: fc.record({ do: fc.constant("read" as const), key }) },
  { weight: 10, arbitrary: fc.record({ do: fc.constant("settle" as const), count: fc.constantFrom(1, 1, 2, 3, 8) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("generation", "version", "forget", "forget", "other") }) },
);

type Rows = ReadonlyMap<string, string>;
type Canary = "none" | "loses a change" | "dates a row too late";

/** The whole view at every position, and which keys each batch changed. */
class Store {
  position: GroupPosition = { generation: 1, batch: 0 };
  readonly states = new Map<string, Rows>([["1.0", new Map()]]);
  readonly #changes: { readonly key: string; readonly batch: number }[] = [];
  #oldest = 1;

  get rows(): Rows {
    return this.at(this.position);
  }

  at({ generation, batch }: GroupPosition): Rows {
    return this.states.get(`${generation}.${batch}`) ?? assert.fail("a position that never was");
  }

  commit(keys: readonly number[], gone: boolean): void {
    const batch = this.position.batch + 1;
    const rows = new Map(this.rows);
    for (const one of keys.map(String)) {
      if (gone) rows.delete(one);
      else rows.set(one, `row ${one} of batch ${batch}`);
      this.#changes.push({ key: one, batch });
    }
    this.#advance({ ...this.position, batch }, rows);
  }

  /** A version is swapped in: other rows, of which no change row tells. */
  beginGeneration(): void {
    const { generation, batch } = this.position;
    this.#oldest = batch + 2;
    const rows = new Map([...this.rows.keys()].map((one) => [one, `row ${one} of generation ${generation + 1}`]));
    this.#advance({ generation: generation + 1, batch: batch + 1 }, rows);
  }

  forget(): void {
    this.#oldest = this.position.batch + 1;
  }

  changedKeys({ generation, batch }: GroupPosition): ChangedKeys {
    const { position } = this;
    if (generation !== position.generation || batch + 1 < this.#oldest) return { position, keys: null };
    return { position, keys: this.#changes.filter((one) => one.batch > batch) };
  }

  #advance(position: GroupPosition, rows: Rows): void {
    this.position = position;
    this.states.set(`${position.generation}.${position.batch}`, rows);
  }
}

function encoded(body: string): EncodedRow {
  return { body, bytes: body.length, tag: body };
}

/** Runs a history; throws where the law does not hold. Returns how many reads were answered from memory. */
async function run(steps: readonly Step[], bytesMax: number, scheduler: fc.Scheduler, canary: Canary): Promise<number> {
  const store = new Store();
  let told = store.position;
  let newest = told;
  const note = (position: GroupPosition) => {
    if (isOlder(newest, position)) newest = position;
  };
  /** A request goes out, sees the store as it is some time later, and its answer arrives later still. */
  const ask = async <T>(what: string, look: () => T): Promise<T> => {
    await scheduler.schedule(Promise.resolve(), `${what} looks`);
    const answer = look();
    await scheduler.schedule(Promise.resolve(), `${what} answers`);
    return answer;
  };
  const source: RowSource<object> = {
    position: () => told,
    row: (_, [one = ""]) =>
      ask(`row ${one}`, () => {
        const body = store.rows.get(one);
        const late = canary === "dates a row too late" ? 1 : 0;
        const position = { ...store.position, batch: store.position.batch + late };
        return { row: body === undefined ? null : encoded(body), position };
      }),
    changedKeys: (_, after) =>
      ask("changes", () => {
        const answer = store.changedKeys(after);
        return canary === "loses a change" ? { ...answer, keys: answer.keys?.slice(1) ?? null } : answer;
      }),
  };
  const cache = new RowCache<object>(source, bytesMax);
  let version = {};
  const reads: Promise<void>[] = [];
  const check = (one: string, { row, position }: RowAnswer, atLeast: GroupPosition) => {
    assert.ok(!isOlder(position, atLeast), `${print(position)} was answered, ${print(atLeast)} had been told`);
    assert.equal(row?.body ?? null, store.at(position).get(one) ?? null, `key ${one} at ${print(position)}`);
    note(position);
  };
  const read = async (one: string) => {
    const atLeast = newest;
    const found = cache.find("cards", version, one) ?? (await cache.read("cards", version, one, [one]));
    check(one, found, atLeast);
  };
  for (const one of steps) {
    switch (one.do) {
      case "commit":
        store.commit(one.keys, one.gone);
        break;
      case "tell":
        told = store.position;
        note(told);
        break;
      case "generation":
        store.beginGeneration();
        break;
      case "version":
        version = {};
        break;
      case "forget":
        store.forget();
        break;
      case "other":
        // Another read of the same process: a page of rows, or a feed.
        cache.saw(store.position);
        note(store.position);
        break;
      case "read":
        reads.push(read(String(one.key)));
        break;
      case "settle":
        for (let i = 0; i < one.count && scheduler.count() > 0; i++) await scheduler.waitOne();
        break;
    }
  }
  const settled = Promise.all(reads);
  // What fails is told by `settled` alone.
  settled.catch(() => {});
  await scheduler.waitFor(settled);
  return cache.figures()[0]?.hits ?? 0;
}

function isOlder(a: GroupPosition, b: GroupPosition): boolean {
  return a.generation === b.generation ? a.batch < b.batch : a.generation < b.generation;
}

function print({ generation, batch }: GroupPosition): string {
  return `${generation}.${batch}`;
}

const history = fc.tuple(
  fc.array(step, { minLength: 20, maxLength: 80, size: "max" }),
  fc.constantFrom(0, 600, 2_000, 1_000_000),
  fc.scheduler(),
);
const parameters = {
  numRuns: Number(process.env.MILLRACE_MODEL_RUNS ?? 40) * 15,
  seed: Number(process.env.MILLRACE_TEST_SEED ?? 1),
};

describe("rows in memory", () => {
  test("an answer is the row at its position, and no answer goes behind what was told", async () => {
    let hits = 0;
    await fc.assert(
      fc.asyncProperty(history, async ([steps, bytesMax, scheduler]) => {
        hits += await run(steps, bytesMax, scheduler, "none");
      }),
      parameters,
    );
    assert.ok(hits > parameters.numRuns / 2, `${hits} hits in ${parameters.numRuns} histories`);
  });

  for (const canary of ["loses a change", "dates a row too late"] as const) {
    test(`the model notices a store that ${canary}`, async () => {
      const found = await fc.check(
        fc.asyncProperty(history, async ([steps, bytesMax, scheduler]) => {
          await run(steps, bytesMax, scheduler, canary);
        }),
        { ...parameters, endOnFailure: true },
      );
      assert.ok(found.failed);
    });
  }
});
