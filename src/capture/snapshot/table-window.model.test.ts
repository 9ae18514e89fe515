/**
 * A table that is read by chunks while it changes, on a model of a server: transactions that commit in one order and
 * become visible in another, chunks that are read in snapshots, and a reader of the topic that must end with the table.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Random, seededRandom } from "../../base/random.ts";
import { TableWindow, type Visibility } from "./table-window.ts";

const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(performance.now() * 1e6) % 1e9);
const runs = Number(process.env.MILLRACE_TEST_RUNS ?? 3_000);

interface Row {
  readonly small: number;
  readonly large: number;
}

/** Cells that the event does not have are undefined. */
type Event =
  | { readonly kind: "put"; readonly key: number; readonly small: number; readonly large: number | undefined }
  | { readonly kind: "move"; readonly from: number; readonly to: number; readonly large: number | undefined }
  | { readonly kind: "remove"; readonly key: number }
  | { readonly kind: "truncate" };

interface Transaction {
  readonly xid: number;
  readonly events: readonly Event[];
  /** Rows as they are when it and all before it are applied. */
  readonly keys: ReadonlySet<number>;
  visible: boolean;
}

const keysMax = 8;

/** The source: its rows by commit, and which commits a snapshot sees. */
class Server {
  readonly #random: Random;
  readonly committed: Transaction[] = [];
  rows = new Map<number, Row>();
  #value = 0;
  #xid = 100;

  constructor(random: Random) {
    this.#random = random;
    for (let key = 0; key < keysMax; key++) if (random.below(2) === 0) this.rows.set(key, this.#row());
    this.start = new Map(this.rows);
  }

  readonly start: ReadonlyMap<number, Row>;

  #row(): Row {
    return { small: ++this.#value, large: ++this.#value };
  }

  /** One transaction; a row that one which is not visible has touched is locked by it. */
  commit(): void {
    const locked = new Set(this.committed.filter(({ visible }) => !visible).flatMap(({ keys }) => [...keys]));
    const events: Event[] = [];
    const keys = new Set<number>();
    for (let n = 0; n <= this.#random.below(3); n++) {
      const event = this.#step((key) => !locked.has(key));
      if (event === null) continue;
      events.push(event);
      if (event.kind === "truncate") for (let key = 0; key < keysMax; key++) keys.add(key);
      else if (event.kind === "move") keys.add(event.from).add(event.to);
      else keys.add(event.key);
    }
    this.committed.push({ xid: this.#xid++, events, keys, visible: this.#random.below(3) > 0 });
  }

  #step(free: (key: number) => boolean): Event | null {
    const key = this.#random.below(keysMax);
    const row = this.rows.get(key);
    const dice = this.#random.below(20);
    if (dice === 0) {
      for (let one = 0; one < keysMax; one++) if (!free(one)) return null;
      this.rows.clear();
      return { kind: "truncate" };
    }
    if (!free(key)) return null;
    if (row === undefined) {
      const put = this.#row();
      this.rows.set(key, put);
      return { kind: "put", key, ...put };
    }
    const large = this.#random.below(2) === 0 ? ++this.#value : undefined;
    if (dice < 6) {
      this.rows.delete(key);
      return { kind: "remove", key };
    }
    const to = this.#random.below(keysMax);
    if (dice < 11 && free(to) && !this.rows.has(to)) {
      this.rows.delete(key);
      this.rows.set(to, { small: row.small, large: large ?? row.large });
      return { kind: "move", from: key, to, large };
    }
    const small = ++this.#value;
    this.rows.set(key, { small, large: large ?? row.large });
    return { kind: "put", key, small, large };
  }

  reveal(): void {
    const hidden = this.committed.filter(({ visible }) => !visible);
    const one = hidden[this.#random.below(Math.max(1, hidden.length))];
    if (one !== undefined) one.visible = true;
  }

  /** What is visible now. Visible transactions touched nothing that an invisible one has touched before them. */
  snapshot(): { readonly rows: Map<number, Row>; readonly visibility: Visibility; readonly end: number } {
    const seen = new Set(this.committed.filter(({ visible }) => visible).map(({ xid }) => xid));
    const rows = new Map(this.start);
    for (const { xid, events } of this.committed) if (seen.has(xid)) for (const event of events) apply(rows, event);
    return { rows, visibility: { sees: (xid) => seen.has(xid) }, end: this.committed.length };
  }
}

function apply(rows: Map<number, Row>, event: Event): void {
  if (event.kind === "truncate") rows.clear();
  else if (event.kind === "remove") rows.delete(event.key);
  else if (event.kind === "put") {
    rows.set(event.key, { small: event.small, large: event.large ?? (rows.get(event.key) as Row).large });
  } else {
    const row = rows.get(event.from) as Row;
    rows.delete(event.from);
    rows.set(event.to, { small: row.small, large: event.large ?? row.large });
  }
}

interface Options {
  /** A window that is wrong on purpose. */
  readonly broken?: "ignores-late" | "never-drops" | "owes-nothing";
  /** Now and then the reader dies, and another one goes on. */
  readonly restarts: boolean;
}

const gap = -1;

/** The topic as its reader sees it, and the reading of the table into it. */
class Capture {
  readonly #server: Server;
  readonly #random: Random;
  readonly #options: Options;
  readonly topic = new Map<number, Row>();
  #streamed = 0;
  #window = new TableWindow();
  #after = -1;
  /** Chunks that were read and are not written yet. */
  #read: { rows: [number, Row][]; visibility: Visibility; end: number; last: number; done: boolean }[] = [];
  #cursor = -1;
  #readAll = false;

  constructor(server: Server, random: Random, options: Options) {
    this.#server = server;
    this.#random = random;
    this.#options = options;
  }

  /** The next transaction of the stream, into the topic and the window. */
  stream(): void {
    const transaction = this.#server.committed[this.#streamed];
    if (transaction === undefined) return;
    this.#streamed++;
    for (const event of transaction.events) this.#streamEvent(transaction.xid, event);
  }

  #streamEvent(xid: number, event: Event): void {
    const window = this.#window;
    if (event.kind === "truncate") {
      this.topic.clear();
      window.truncated(xid);
    } else if (event.kind === "remove") {
      this.topic.delete(event.key);
      window.removed(xid, `${event.key}`);
    } else {
      const unchanged = event.large === undefined ? [1] : [];
      const from = event.kind === "move" ? event.from : event.key;
      const to = event.kind === "move" ? event.to : event.key;
      const before = this.topic.get(from);
      const small = event.kind === "move" ? smallOf(this.#server, xid, event) : event.small;
      this.topic.delete(from);
      this.topic.set(to, { small, large: event.large ?? before?.large ?? gap });
      if (event.kind === "move") window.moved(xid, `${from}`, `${to}`, unchanged);
      else window.upserted(xid, `${to}`, unchanged);
    }
  }

  /** A reader begins when all that was streamed is visible. */
  settle(): void {
    for (const transaction of this.#server.committed) transaction.visible = true;
    this.#window.clear();
  }

  readChunk(): void {
    if (this.#readAll || this.#read.length > 1) return;
    const { rows, visibility, end } = this.#server.snapshot();
    const limit = 1 + this.#random.below(3);
    const found = [...rows]
      .filter(([key]) => key > this.#cursor)
      .sort(([a], [b]) => a - b)
      .slice(0, limit);
    const last = found.at(-1)?.[0] ?? this.#cursor;
    const done = found.length < limit;
    this.#read.push({ rows: found, visibility: this.#sight(visibility), end, last, done });
    this.#cursor = last;
    this.#readAll = done;
  }

  #sight(visibility: Visibility): Visibility {
    // The mistake that a watermark of the stream alone makes: what was streamed is taken to be seen.
    const streamed = this.#server.committed.slice(0, this.#streamed).map(({ xid }) => xid);
    if (this.#options.broken !== "ignores-late") return visibility;
    return { sees: (xid) => streamed.includes(xid) || visibility.sees(xid) };
  }

  /** Writes the oldest chunk when the stream has passed what it sees. Answers whether the table is whole. */
  writeChunk(): boolean {
    const chunk = this.#read[0];
    if (chunk === undefined) return this.#readAll && this.#window.owed.size === 0;
    if (this.#streamed < chunk.end) return false;
    this.#read.shift();
    for (const [key, row] of chunk.rows) this.#writeRow(key, row, chunk.visibility);
    this.#window.forget(chunk.visibility);
    this.#after = chunk.last;
    return this.#readAll && this.#read.length === 0 && this.#owesNothing();
  }

  #owesNothing(): boolean {
    return this.#options.broken === "owes-nothing" || this.#window.owed.size === 0;
  }

  #writeRow(key: number, row: Row, visibility: Visibility): string {
    const decision =
      this.#options.broken === "never-drops" ? { kind: "write" as const } : this.#window.decide(`${key}`, visibility);
    const there = this.topic.get(key);
    if (decision.kind === "write") this.topic.set(key, row);
    else if (decision.kind === "fill" && there !== undefined)
      this.topic.set(key, { small: there.small, large: row.large });
    return decision.kind;
  }

  /** Reads owed rows again, and waits for the stream at once. */
  repay(): void {
    if (this.#read.length > 0 || !this.#readAll || this.#window.owed.size === 0) return;
    const { rows, visibility, end } = this.#server.snapshot();
    const asked = [...this.#window.owed];
    for (let n = this.#random.below(3); n > 0; n--) this.#server.commit();
    while (this.#streamed < end || (this.#streamed < this.#server.committed.length && this.#random.below(2) === 0))
      this.stream();
    for (const key of asked) {
      const row = rows.get(Number(key));
      const decision = row === undefined ? null : this.#window.decide(key, visibility);
      if (row !== undefined) this.#writeRow(Number(key), row, visibility);
      this.#window.settled(key, decision, visibility);
    }
    this.#window.forget(visibility);
  }

  /** The reader dies: what was written stays. Another goes on behind the last chunk, or anew when something is owed. */
  restart(): void {
    if (!this.#options.restarts) return;
    const anew = this.#window.owed.size > 0;
    this.#window = new TableWindow();
    this.#read = [];
    this.settle();
    if (anew) {
      // A new beginning cuts away what is in the topic.
      while (this.#streamed < this.#server.committed.length) this.stream();
      this.#window = new TableWindow();
      this.topic.clear();
    }
    this.#after = anew ? -1 : this.#after;
    this.#cursor = this.#after;
    this.#readAll = false;
  }

  drain(): void {
    while (this.#streamed < this.#server.committed.length) this.stream();
  }
}

/** The stream sends small values always; of a moved row they are those of the row. */
function smallOf(server: Server, xid: number, event: Event): number {
  const rows = new Map(server.start);
  for (const transaction of server.committed) {
    for (const one of transaction.events) {
      if (transaction.xid === xid && one === event) return (rows.get((event as { from: number }).from) as Row).small;
      apply(rows, one);
    }
  }
  return gap;
}

/** Null when the topic ends as the table does. */
function play(random: Random, options: Options): string | null {
  const server = new Server(random);
  const capture = new Capture(server, random, options);
  for (let n = random.below(4); n > 0; n--) server.commit();
  capture.drain();
  capture.topic.clear();
  capture.settle();
  let whole = false;
  for (let step = 0; step < 400 && !whole; step++) {
    const dice = random.below(20);
    if (dice < 4 && step < 60) server.commit();
    else if (dice < 9) capture.stream();
    else if (dice < 12) capture.readChunk();
    else if (dice < 15) whole = capture.writeChunk();
    else if (dice < 17) server.reveal();
    else if (dice < 19) capture.repay();
    else if (random.below(4) === 0 && step < 60) capture.restart();
  }
  if (!whole) return "the reading does not end";
  // At its end, and behind it.
  for (let n = random.below(4); n > 0; n--) server.commit();
  capture.drain();
  const sorted = (rows: ReadonlyMap<number, Row>) => JSON.stringify([...rows].sort(([a], [b]) => a - b));
  return sorted(capture.topic) === sorted(server.rows)
    ? null
    : `${sorted(capture.topic)} is not ${sorted(server.rows)}`;
}

test("whatever the schedule, a table that was read by chunks is the source's table", (t) => {
  t.diagnostic(`seed ${seed}`);
  for (let run = 0; run < runs; run++) {
    const fault = play(seededRandom(seed + run), { restarts: run % 2 === 0 });
    assert.equal(fault, null, `seed ${seed + run}`);
  }
});

for (const broken of ["ignores-late", "never-drops", "owes-nothing"] as const) {
  test(`a reading that is wrong on purpose is found out: ${broken}`, () => {
    const faults = Array.from({ length: runs }, (_, run) => play(seededRandom(run), { broken, restarts: false }));
    assert.ok(faults.some((fault) => fault !== null && fault !== "the reading does not end"));
  });
}
