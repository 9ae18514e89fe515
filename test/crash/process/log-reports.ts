/** What the writers of log-writers.ts said, and what a log that was killed may and must hold after it. */
import assert from "node:assert/strict";
import type { DecodedLog } from "../../support/log-decoder.ts";
import { idOf } from "./log-values.ts";

interface SentTransaction {
  readonly name: string;
  readonly ids: number[];
  state: "open" | "committing" | "committed" | "never";
}

interface Sent {
  readonly writer: string;
  /** `<topic>/<partition>` */
  readonly place: string;
  readonly transaction: SentTransaction | undefined;
  /** Outside of a transaction, or read: it must be there. */
  acknowledged: boolean;
  /** -1 while it is not known. */
  offset: number;
  /** What was found after a kill stays so for ever. */
  fate: "unknown" | "there" | "gone";
}

export class LogReports {
  readonly #sent = new Map<number, Sent>();
  readonly #transactions = new Map<string, SentTransaction>();

  get sentCount(): number {
    return this.#sent.size;
  }

  get acknowledgedCount(): number {
    return [...this.#sent.values()].filter(({ acknowledged }) => acknowledged).length;
  }

  get committedCount(): number {
    return [...this.#transactions.values()].filter(({ state }) => state === "committed").length;
  }

  /** Whole lines; the last one may have been cut by the kill. */
  hear(reports: string): void {
    for (const line of reports.slice(0, reports.lastIndexOf("\n") + 1).split("\n")) {
      const words = line.split(" ");
      const [kind, name = ""] = words;
      if (kind === "S") this.#hearSent(Number(name), words);
      else if (kind === "T") this.#hearSentAgain(Number(name));
      else if (kind === "A") this.#hearPlaced(Number(name), Number(words[2]));
      else if (kind === "R") this.#hearRead(Number(name), words);
      else if (kind === "C") this.#transaction(name).state = "committing";
      else if (kind === "K") this.#transaction(name).state = "committed";
      else if (kind === "N") this.#transaction(name).state = "never";
    }
  }

  /** Throws what is wrong with the log. */
  check(log: DecodedLog): void {
    const found = this.#find(log);
    for (const [id, sent] of this.#sent) {
      const offset = found.get(id);
      const what = `${id} of writer ${sent.writer} in ${sent.place}`;
      if (sent.acknowledged) assert.ok(offset !== undefined, `${what} was acknowledged and is gone`);
      if (sent.fate === "there") assert.ok(offset !== undefined, `${what} was there after an earlier kill and is gone`);
      if (sent.fate === "gone") assert.equal(offset, undefined, `${what} was gone after an earlier kill and is back`);
      if (offset !== undefined && sent.offset >= 0) assert.equal(offset, sent.offset, `${what} is at another offset`);
      sent.fate = offset === undefined ? "gone" : "there";
      sent.offset = offset ?? sent.offset;
    }
    for (const { name, ids, state } of this.#transactions.values()) {
      const count = ids.filter((id) => found.has(id)).length;
      assert.ok(
        count === 0 || count === ids.length,
        `${count} of ${ids.length} records of transaction ${name} are there`,
      );
      if (state === "committed") assert.ok(count > 0, `transaction ${name} was acknowledged and is gone`);
      if (state === "open" || state === "never") assert.equal(count, 0, `transaction ${name} was never committed`);
    }
  }

  /** Offsets of what a read_committed reader gets, by id. */
  #find(log: DecodedLog): Map<number, number> {
    const found = new Map<number, number>();
    for (const [place, { topic, records }] of log) {
      if (topic.startsWith("_millrace.")) continue;
      const lastOf = new Map<string, number>();
      for (const { offset, value, key, fate } of records) {
        const id = idOf(value);
        const sent = this.#sent.get(id);
        assert.ok(sent?.place === place && sent.writer === String(key), `${id} was not sent to ${place}`);
        if (fate === "aborted") continue;
        assert.equal(fate, sent.transaction ? "committed" : "plain", `${id} in ${place}`);
        assert.ok(!found.has(id), `${id} is in ${place} twice`);
        assert.ok(id > (lastOf.get(sent.writer) ?? -1), `${id} in ${place} stands behind a later one of its writer`);
        lastOf.set(sent.writer, id);
        found.set(id, offset);
      }
    }
    return found;
  }

  #hearSent(id: number, [, , writer = "", place = "", name = "-"]: readonly string[]): void {
    const transaction = name === "-" ? undefined : this.#transaction(name);
    transaction?.ids.push(id);
    this.#sent.set(id, { writer, place, transaction, acknowledged: false, offset: -1, fate: "unknown" });
  }

  /** What was gone may be there now. */
  #hearSentAgain(id: number): void {
    const sent = this.#get(id);
    if (sent.fate === "gone") sent.fate = "unknown";
  }

  #hearPlaced(id: number, offset: number): void {
    const sent = this.#get(id);
    if (sent.offset >= 0) assert.equal(offset, sent.offset, `${id} was acknowledged at another offset before`);
    sent.offset = offset;
    if (!sent.transaction) sent.acknowledged = true;
  }

  #hearRead(id: number, [, , place, offset]: readonly string[]): void {
    const sent = this.#get(id);
    assert.equal(place, sent.place, `${id} was read in another place`);
    if (sent.offset >= 0) assert.equal(Number(offset), sent.offset, `${id} was read at another offset`);
    sent.offset = Number(offset);
    sent.acknowledged = true;
  }

  #get(id: number): Sent {
    const sent = this.#sent.get(id);
    assert.ok(sent, `${id} was never sent`);
    return sent;
  }

  #transaction(name: string): SentTransaction {
    const known = this.#transactions.get(name);
    if (known) return known;
    const made: SentTransaction = { name, ids: [], state: "open" };
    this.#transactions.set(name, made);
    return made;
  }
}
