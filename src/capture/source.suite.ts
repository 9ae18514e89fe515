/**
 * What every variant of a source must do. A variant's test calls `sourceSuite` with a world: something outside that
 * changes, and a log that can be cut off. Tables are `things (id, name)` with key `id`, and `others` of the same form.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { systemClock } from "../base/clock.ts";
import type { StoredRecord } from "../records/record.ts";
import { readChange } from "../schema/envelope.ts";
import type { EndEvent, Frontier, TransactionEvent } from "../schema/transaction-events.ts";
import type { Source } from "./source.ts";

/** A change as one text: `+` upsert, `-` delete, `0` truncate. */
export type Told = string;

export interface SourceWorld {
  /** Changes in one transaction of the outside. */
  change(...steps: readonly Step[]): Promise<void>;
  /** Started, on the log as it is; an earlier one must have been stopped or cut off. */
  open(): Promise<Source>;
  /** The program dies: what it held is gone, the log keeps what is durable. */
  cutOff(): Promise<void>;
  /** All committed records of a topic. */
  read(topic: "things" | "others" | "transaction"): Promise<StoredRecord[]>;
  /** The name of a topic in frontiers. */
  topicName(topic: "things" | "others"): string;
  /** What the outside believes that we have durably; null where it keeps no account. */
  confirmed(): Promise<string | null>;
  /** The outside's end of now. */
  end(): Promise<string>;
  /** Whether the outside keeps something for us. */
  held(): Promise<boolean>;
  /** Positions as numbers that can be compared. */
  compare(a: string, b: string): number;
  dispose(): Promise<void>;
}

export type Step =
  | { readonly kind: "put"; readonly table: "things" | "others"; readonly id: number; readonly name: string }
  | { readonly kind: "remove"; readonly table: "things" | "others"; readonly id: number }
  | { readonly kind: "empty"; readonly table: "things" | "others" };

export const put = (id: number, name: string, table: "things" | "others" = "things"): Step => ({
  kind: "put",
  table,
  id,
  name,
});
const remove = (id: number): Step => ({ kind: "remove", table: "things", id });

const shape = {
  source: "",
  schema: "",
  table: "",
  topic: "",
  key: ["id"],
  appendOnly: false,
  columns: ["id", "name"].map((name) => ({
    name,
    sourceType: "",
    storeType: name === "id" ? "bigint" : "text",
    nullable: true,
    carriedAsText: false,
  })),
};

/** Changes of a topic in order, without tombstones. */
export function changesOf(records: readonly StoredRecord[]): Told[] {
  return records.flatMap(({ key, value, headers }) => {
    if (value === null) return [];
    const change = readChange(value, key, headers, shape);
    if (change.op === "truncate") return ["0"];
    return [change.op === "delete" ? `-${change.row[0]}` : `+${change.row[0]} ${change.row[1]}`];
  });
}

export function eventsOf(records: readonly StoredRecord[]): TransactionEvent[] {
  return records.map(({ value }) => JSON.parse(String(value)) as TransactionEvent);
}

function ends(records: readonly StoredRecord[]): EndEvent[] {
  return eventsOf(records).filter((event): event is EndEvent => event.status === "END");
}

/** Stands in the streaming state, with everything up to now in the log. */
async function caughtUp(world: SourceWorld, source: Source): Promise<void> {
  await streaming(source);
  const end = await world.end();
  while (source.status().position === null || world.compare(source.status().position ?? "", end) < 0) {
    await source.catchUp(end);
  }
}

/** Between two looks at a condition. */
export const soon = (): Promise<void> => systemClock.sleep(2);

/** Resolves when the source streams. */
export async function streaming(source: Source): Promise<void> {
  for (;;) {
    const { state } = source.status();
    if (state.kind === "streaming") return;
    if (state.kind === "failed") throw state.error;
    await soon();
  }
}

export function sourceSuite(name: string, open: () => Promise<SourceWorld>): void {
  const sourceTest = (title: string, body: (world: SourceWorld) => Promise<void>) =>
    test(title, async () => {
      const world = await open();
      try {
        await body(world);
      } finally {
        await world.dispose();
      }
    });

  describe(name, () => {
    sourceTest(
      "a snapshot comes first, between its BEGIN and END, and then each change in commit order",
      async (world) => {
        await world.change(put(1, "a"), put(2, "b"), put(1, "x", "others"));
        const source = await world.open();
        await caughtUp(world, source);
        await world.change(put(3, "c"), remove(1));
        await world.change(put(2, "B"));
        await world.change({ kind: "empty", table: "things" });
        await caughtUp(world, source);
        const rows = await world.read("things");
        assert.deepEqual(changesOf(rows).slice(0, 2).sort(), ["+1 a", "+2 b"]);
        assert.deepEqual(changesOf(rows).slice(2), ["+3 c", "-1", "+2 B", "0"]);
        assert.deepEqual(changesOf(await world.read("others")), ["+1 x"]);
        const statuses = eventsOf(await world.read("transaction")).map(({ status }) => status);
        const kinds = statuses.filter((status) => status !== "HEARTBEAT" && status !== "SNAPSHOT_CHUNK");
        const transaction = ["BEGIN", "END"];
        assert.deepEqual(kinds, ["SNAPSHOT_BEGIN", "SNAPSHOT_END", ...transaction, ...transaction, ...transaction]);
        await source.stop();
      },
    );

    sourceTest("the frontier of an END cuts the topics right behind its transaction", async (world) => {
      const source = await world.open();
      await caughtUp(world, source);
      for (let i = 0; i < 20; i++) await world.change(put(i, `${i}`), put(i, `o${i}`, "others"), put(i, `${i}!`));
      await caughtUp(world, source);
      const [things, others] = [await world.read("things"), await world.read("others")];
      const below = (records: StoredRecord[], topic: "things" | "others", frontier: Frontier) =>
        changesOf(records.filter(({ offset }) => offset < (frontier[world.topicName(topic)] ?? 0))).length;
      ends(await world.read("transaction")).forEach(({ frontier, event_count }, i) => {
        assert.equal(event_count, 3);
        assert.equal(below(things, "things", frontier), 2 * (i + 1));
        assert.equal(below(others, "others", frontier), i + 1);
      });
      await source.stop();
    });

    sourceTest("after a stop it goes on where it was, and nothing comes twice", async (world) => {
      await world.change(put(1, "a"));
      for (let round = 0; round < 3; round++) {
        const source = await world.open();
        await caughtUp(world, source);
        await world.change(put(10 + round, "live"));
        await caughtUp(world, source);
        await source.stop();
        await world.change(put(20 + round, "away"));
      }
      const source = await world.open();
      await caughtUp(world, source);
      const expected = ["+1 a", "+10 live", "+20 away", "+11 live", "+21 away", "+12 live", "+22 away"];
      assert.deepEqual(changesOf(await world.read("things")), expected);
      await source.stop();
    });

    sourceTest("when the program dies again and again, every change is there once and in order", async (world) => {
      let next = 0;
      for (let round = 0; round < 6; round++) {
        const source = await world.open();
        const written = (async () => {
          for (let i = 0; i < 10; i++) await world.change(put(next, "x"), put(next++, "y", "others"));
        })();
        await streaming(source);
        await written;
        await world.cutOff();
        await source.stop();
      }
      const source = await world.open();
      await caughtUp(world, source);
      const ids = (told: Told[]) => told.map((text) => Number.parseInt(text.slice(1), 10));
      const all = Array.from({ length: next }, (_, i) => i);
      const begin = eventsOf(await world.read("transaction")).findLast(({ status }) => status === "SNAPSHOT_BEGIN");
      const frontier: Frontier = begin?.status === "SNAPSHOT_BEGIN" ? begin.frontier : {};
      for (const topic of ["things", "others"] as const) {
        const since = (await world.read(topic)).filter(
          ({ offset }) => offset >= (frontier[world.topicName(topic)] ?? 0),
        );
        assert.deepEqual(ids(changesOf(since)), all);
      }
      await source.stop();
    });

    sourceTest("the outside is told only of what is durable in the log", async (world) => {
      const source = await world.open();
      await caughtUp(world, source);
      for (let i = 0; i < 30; i++) {
        await world.change(put(i, "x"));
        const confirmed = await world.confirmed();
        // Asked after the outside was: what it had been told by then is a part of what the log has now.
        const durable = source.status().position ?? "";
        if (confirmed !== null) assert.ok(world.compare(confirmed, durable) <= 0, `${confirmed} is past ${durable}`);
      }
      await source.stop();
    });

    sourceTest("a quiet source says how far it is as soon as somebody waits for it", async (world) => {
      const source = await world.open();
      await caughtUp(world, source);
      const end = await world.end();
      await source.catchUp();
      assert.ok(world.compare(source.status().position ?? "", end) >= 0);
      await source.stop();
    });

    sourceTest(
      "the end of now is behind every commit before it, and is not told while nothing streams",
      async (world) => {
        const source = await world.open();
        await caughtUp(world, source);
        const before = await world.end();
        await world.change(put(1, "a"));
        const after = await world.end();
        const end = await source.end();
        assert.ok(world.compare(end, before) > 0 && world.compare(end, after) >= 0, `${end} is not behind ${after}`);
        await source.stop();
        await assert.rejects(source.end(), { code: "SOURCE_UNREACHABLE" });
      },
    );

    sourceTest("a stop that gives up what is held is followed by a new snapshot, under a new id", async (world) => {
      await world.change(put(1, "a"));
      const first = await world.open();
      await caughtUp(world, first);
      await first.stop({ release: true });
      assert.equal(await world.held(), false);
      await world.change(put(2, "b"));
      const second = await world.open();
      await caughtUp(world, second);
      const begins = eventsOf(await world.read("transaction")).filter(({ status }) => status === "SNAPSHOT_BEGIN");
      assert.equal(begins.length, 2);
      assert.notEqual(begins[0]?.id, begins[1]?.id);
      assert.deepEqual(changesOf(await world.read("things")), ["+1 a", "+1 a", "+2 b"]);
      await second.stop();
    });

    sourceTest("a second owner fences the first, which stops and says so", async (world) => {
      const first = await world.open();
      await caughtUp(world, first);
      const second = await world.open();
      await caughtUp(world, second);
      await world.change(put(1, "a"));
      await caughtUp(world, second);
      assert.deepEqual(changesOf(await world.read("things")), ["+1 a"]);
      await first.stop();
      await world.change(put(2, "b"));
      await caughtUp(world, second);
      assert.deepEqual(changesOf(await world.read("things")), ["+1 a", "+2 b"]);
      await second.stop();
    });
  });
}
