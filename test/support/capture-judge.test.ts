import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type Random, seededRandom } from "../../src/base/random.ts";
import type { Header, StoredRecord } from "../../src/records/record.ts";
import {
  type Audit,
  type AuditRow,
  CaptureViolation,
  type JudgedTable,
  judgeCapture,
  printParts,
  type Row,
} from "./capture-judge.ts";

const tables: readonly JudgedTable[] = [
  { name: "items", topic: "s.items", key: ["id"], columns: ["v", "doc"] },
  { name: "moves", topic: "s.moves", key: ["a", "b"], columns: ["v"] },
];

/** One record, before it has its place. */
interface Draft {
  key: string | null;
  value: Record<string, unknown> | null;
  headers: Header[];
}

/** What the log has of one transaction: events with their tombstones, by topic. */
interface Captured {
  xid: number;
  lsn: number;
  drafts: Record<string, Draft[]>;
  events: number;
  /** How many records of a topic the frontier leaves out, or takes from the next one when negative. */
  early: Record<string, number>;
}

/** A source with an audit trigger, and a capture of it that makes no mistake. */
class History {
  readonly audit: AuditRow[] = [];
  readonly xidOf = new Map<AuditRow, number>();
  readonly snapshot: Record<string, Draft[]> = { "s.items": [], "s.moves": [] };
  readonly captured: Captured[] = [];
  readonly #random: Random;
  readonly #rows: Record<string, Map<string, Row>> = { items: new Map(), moves: new Map() };
  #captures = false;
  #seq = 0;
  #xid = 700;
  #open: Captured = { xid: 0, lsn: 0, drafts: {}, events: 0, early: {} };

  constructor(seed: number, transactions: number) {
    this.#random = seededRandom(seed);
    for (let i = 0; i < 3; i++) this.#transaction();
    for (const table of tables) {
      for (const row of this.#of(table).values()) this.snapshot[table.topic]?.push(draft(table, "r", null, row, null));
    }
    this.#captures = true;
    for (let i = 0; i < transactions; i++) this.#transaction();
  }

  #of({ name }: JudgedTable): Map<string, Row> {
    return this.#rows[name] as Map<string, Row>;
  }

  #transaction(): void {
    const xid = this.#xid++;
    this.#open = { xid, lsn: xid * 100, drafts: {}, events: 0, early: {} };
    const changes = 1 + this.#random.below(5);
    for (let i = 0; i < changes; i++) this.#change(tables[this.#random.below(2)] as JudgedTable);
    if (this.#captures) this.captured.push(this.#open);
  }

  #change(table: JudgedTable): void {
    const rows = this.#of(table);
    const dice = this.#random.below(20);
    const keys = [...rows.keys()];
    const key = keys[this.#random.below(Math.max(1, keys.length))];
    if (dice === 0) {
      rows.clear();
      this.#tell(table, "t", null, null, null);
    } else if (key === undefined || dice < 7) this.#create(table, this.#fresh(table), null);
    else {
      const row = rows.get(key) as Row;
      if (dice < 11) this.#remove(table, key, row, null);
      else if (dice < 14) {
        const now = { ...this.#fresh(table), v: row.v, ...(table.name === "items" && { doc: row.doc }) };
        this.#remove(table, key, row, now);
        this.#create(table, now, row);
      } else {
        const now = { ...row, v: this.#random.below(1000) };
        rows.set(key, now);
        this.#tell(table, "u", row, now, null);
      }
    }
  }

  #fresh(table: JudgedTable): Row {
    const id = this.#random.below(1_000_000);
    const v = this.#random.below(1000);
    return table.name === "items" ? { id, v, doc: `doc ${id}` } : { a: id, b: "x", v };
  }

  #create(table: JudgedTable, row: Row, from: Row | null): void {
    this.#of(table).set(printParts(row, table.key), row);
    this.#tell(table, "c", null, row, from);
  }

  #remove(table: JudgedTable, key: string, row: Row, to: Row | null): void {
    this.#of(table).delete(key);
    this.#tell(table, "d", row, null, to);
  }

  #tell(table: JudgedTable, op: AuditRow["op"], before: Row | null, after: Row | null, other: Row | null): void {
    const row = after ?? before ?? {};
    const key = op === "t" ? "" : printParts(row, table.key);
    const value = after ? printParts(after, table.columns) : "";
    const lsn = this.#captures ? `0/${(this.#open.lsn - 1).toString(16)}` : "0/0";
    const audited: AuditRow = { seq: ++this.#seq, lsn, table: table.name, op, key, value };
    this.audit.push(audited);
    this.xidOf.set(audited, this.#open.xid);
    if (!this.#captures) return;
    const { drafts } = this.#open;
    const list = drafts[table.topic] ?? [];
    drafts[table.topic] = list;
    const event = draft(table, op, before, after, other);
    (event.value as Record<string, unknown>).transaction = {
      id: `${this.#open.xid}:${this.#open.lsn}`,
      total_order: ++this.#open.events,
    };
    list.push(event);
    if (op === "d") list.push({ key: event.key, value: null, headers: [] });
  }

  async judge(): Promise<unknown> {
    const topics: Record<string, StoredRecord[]> = { "s.items": [], "s.moves": [] };
    const transactions: StoredRecord[] = [];
    const place = (to: StoredRecord[], { key, value, headers }: Draft) =>
      to.push({
        // Every third offset: markers and what was aborted lie between.
        offset: to.length * 3,
        timestamp: 0,
        key: key === null ? null : Buffer.from(key),
        value: value === null ? null : Buffer.from(JSON.stringify(value)),
        headers,
      });
    const ends = (taken: Record<string, number> = {}) =>
      Object.fromEntries(
        Object.entries(topics).map(([name, list]) => [name, Math.max(0, list.length - (taken[name] ?? 0)) * 3]),
      );
    const event = (value: Record<string, unknown>) => place(transactions, { key: null, value, headers: [] });
    event({ status: "SNAPSHOT_BEGIN", id: "snapshot:1", frontier: ends() });
    for (const [name, drafts] of Object.entries(this.snapshot))
      for (const one of drafts) place(topics[name] ?? [], one);
    event({ status: "SNAPSHOT_END", id: "snapshot:1", frontier: ends(), lsn: "0/1" });
    for (const { xid, lsn, drafts, early } of this.captured) {
      let count = 0;
      for (const [name, list] of Object.entries(drafts)) {
        for (const one of list) place(topics[name] ?? [], one);
        count += list.filter(({ value }) => value !== null).length;
      }
      event({ status: "BEGIN", id: `${xid}:${lsn}` });
      const all = ends(early);
      const frontier = Object.fromEntries(Object.keys(drafts).map((name) => [name, all[name]]));
      event({ status: "END", id: `${xid}:${lsn}`, event_count: count, frontier, lsn: `0/${(lsn + 1).toString(16)}` });
      event({ status: "HEARTBEAT", id: "h", lsn: `0/${(lsn + 1).toString(16)}` });
    }
    return judgeCapture(
      tables,
      { transactions: each(transactions), topic: (name) => each(topics[name] ?? []) },
      this.#account(),
    );
  }

  #account(): Audit {
    const by = Map.groupBy(this.audit, (row) => this.xidOf.get(row) ?? 0);
    return {
      rowsOf: async (xids) => new Map(xids.map((xid) => [xid, by.get(xid) ?? []])),
      others: (xids) => each(this.audit.filter((row) => !xids.has(this.xidOf.get(row) ?? 0))),
      places: new Map(Array.from(by.keys(), (xid) => [xid, xid])),
    };
  }
}

async function* each<T>(list: readonly T[]): AsyncIterable<T> {
  yield* list;
}

function draft(table: JudgedTable, op: string, before: Row | null, after: Row | null, other: Row | null): Draft {
  const keyOf = (row: Row) => JSON.stringify(Object.fromEntries(table.key.map((name) => [name, row[name]])));
  const headers: Header[] = [];
  let told = after;
  // A large value that did not change is not sent.
  if (table.name === "items" && after !== null && (op === "u" || other !== null)) {
    const { doc: _, ...rest } = after;
    told = rest;
    headers.push({ key: "millrace.unchanged", value: Buffer.from('["doc"]') });
  }
  if (other !== null) {
    const name = op === "d" ? "__debezium.newkey" : "__debezium.oldkey";
    headers.push({ key: name, value: Buffer.from(keyOf(other)) });
  }
  const row = after ?? before;
  return {
    key: op === "t" || row === null ? null : keyOf(row),
    value: { op, before: op === "u" ? null : before, after: told },
    headers,
  };
}

/** Places in a history where a canary can be set. */
type Damage = (history: History, random: Random) => boolean;

const some = <T>(list: readonly T[], random: Random): T | undefined => list[random.below(Math.max(1, list.length))];

function anyTopic(history: History, random: Random, least: number): [Captured, Draft[]] | undefined {
  const all = history.captured.flatMap((one) =>
    Object.values(one.drafts)
      .filter((list) => list.length >= least)
      .map((list): [Captured, Draft[]] => [one, list]),
  );
  return some(all, random);
}

const damages: Readonly<Record<string, Damage>> = {
  "an event is dropped": (history, random) => {
    const [, list] = anyTopic(history, random, 1) ?? [];
    list?.splice(random.below(list.length), 1);
    return list !== undefined;
  },
  "an event is dropped, and the others numbered anew": (history, random) => {
    const found = anyTopic(history, random, 1);
    const event = found?.[1].findIndex(({ value }) => value !== null && value.op !== "d") ?? -1;
    if (found === undefined || event < 0) return false;
    const [{ drafts }, list] = found;
    const order = (draft: Draft) => (draft.value?.transaction as { total_order: number } | undefined)?.total_order ?? 0;
    const gone = order(list.splice(event, 1)[0] as Draft);
    for (const one of Object.values(drafts).flat()) {
      if (order(one) > gone) (one.value?.transaction as { total_order: number }).total_order--;
    }
    return true;
  },
  "an event is doubled": (history, random) => {
    const [, list] = anyTopic(history, random, 1) ?? [];
    const at = random.below(list?.length ?? 1);
    list?.splice(at, 0, list[at] as Draft);
    return list !== undefined;
  },
  "two changes of a transaction change places": (history, random) => {
    const [, list] = anyTopic(history, random, 2) ?? [];
    const events = list?.filter(({ value }) => value !== null) ?? [];
    const [a, b] = [events[0], events.at(-1)];
    if (!a || !b || a === b || JSON.stringify(a.value?.after) === JSON.stringify(b.value?.after)) return false;
    const [first, second] = [a.value as Record<string, unknown>, b.value as Record<string, unknown>];
    [first.transaction, second.transaction] = [second.transaction, first.transaction];
    return true;
  },
  "two records of a topic change places": (history, random) => {
    const [, list] = anyTopic(history, random, 2) ?? [];
    const [a, b] = [
      list?.findIndex(({ value }) => value?.op === "c"),
      list?.findLastIndex(({ value }) => value?.op === "c"),
    ];
    if (!list || a === undefined || b === undefined || a === b) return false;
    [list[a], list[b]] = [list[b] as Draft, list[a] as Draft];
    return true;
  },
  "two transactions change places": (history, random) => {
    const at = random.below(Math.max(1, history.captured.length - 1));
    const [a, b] = [history.captured[at], history.captured[at + 1]];
    if (!a || !b) return false;
    history.captured.splice(at, 2, b, a);
    return true;
  },
  "two transactions change places, and their positions too": (history, random) => {
    const at = random.below(Math.max(1, history.captured.length - 1));
    const [a, b] = [history.captured[at], history.captured[at + 1]];
    if (!a || !b) return false;
    [a.lsn, b.lsn] = [b.lsn, a.lsn];
    for (const one of [a, b]) {
      for (const { value } of Object.values(one.drafts).flat()) {
        if (value) (value.transaction as { id: string }).id = `${one.xid}:${one.lsn}`;
      }
    }
    history.captured.splice(at, 2, b, a);
    return true;
  },
  "a frontier splits a transaction": (history, random) => {
    const [one] = anyTopic(history, random, 1) ?? [];
    if (one === undefined) return false;
    one.early[Object.keys(one.drafts)[0] as string] = 1;
    return true;
  },
  "a whole transaction is lost": (history, random) => {
    if (history.captured.length === 0) return false;
    history.captured.splice(random.below(history.captured.length), 1);
    return true;
  },
  "a whole transaction is there twice": (history, random) => {
    const one = some(history.captured, random);
    if (one) history.captured.push(one);
    return one !== undefined;
  },
  "a row of the snapshot is lost": (history, random) => {
    const list = some(
      Object.values(history.snapshot).filter(({ length }) => length > 1),
      random,
    );
    list?.splice(random.below(list.length), 1);
    return list !== undefined;
  },
  "a row of the snapshot is there twice": (history, random) => {
    const list = some(
      Object.values(history.snapshot).filter(({ length }) => length > 0),
      random,
    );
    if (list) list.push(list[0] as Draft);
    return list !== undefined;
  },
  "a value is another one": (history, random) => {
    const [, list] = anyTopic(history, random, 1) ?? [];
    const event = list?.find(({ value }) => value?.after);
    if (event?.value) event.value.after = { ...(event.value.after as Row), v: -1 };
    return event !== undefined;
  },
  "a value that did not change is made up": (history) => {
    const all = history.captured.flatMap(({ drafts }) => Object.values(drafts).flat());
    const event = all.find(({ headers }) => headers[0]?.key === "millrace.unchanged");
    if (!event?.value) return false;
    event.headers = event.headers.slice(1);
    event.value.after = { ...(event.value.after as Row), doc: null };
    return true;
  },
  "a delete has no tombstone": (history) => {
    for (const list of history.captured.flatMap(({ drafts }) => Object.values(drafts))) {
      const at = list.findIndex(({ value }) => value === null);
      if (at >= 0) return list.splice(at, 1).length === 1;
    }
    return false;
  },
  "a change is invented": (history, random) => {
    const found = anyTopic(history, random, 1);
    if (!found) return false;
    const [one, list] = found;
    const value = { op: "c", before: null, after: { id: -5, a: -5, b: "x", v: 1, doc: "d" } };
    list.push({
      key: "{}",
      value: { ...value, transaction: { id: `${one.xid}:${one.lsn}`, total_order: one.events + 1 } },
      headers: [],
    });
    return true;
  },
};

describe("the judge of captured histories", () => {
  test("finds nothing wrong with a capture that makes no mistake", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 0, max: 30 }), async (seed, transactions) => {
        await new History(seed, transactions).judge();
      }),
      { numRuns: 60 },
    );
  });

  for (const [name, damage] of Object.entries(damages)) {
    test(`finds it wherever ${name}`, async () => {
      let caught = 0;
      for (let seed = 0; seed < 60; seed++) {
        const history = new History(seed, 12);
        if (!damage(history, seededRandom(seed + 1))) continue;
        await assert.rejects(history.judge(), CaptureViolation, `seed ${seed}`);
        caught++;
      }
      assert.ok(caught >= 20, `the damage could be done ${caught} times only`);
    });
  }
});
