/**
 * What clients of Kafka wrote down while a broker was killed again and again, and what its log holds at the end.
 * A value is "who number transaction"; a producer never sends a number twice. Times are of one clock of the machine.
 */

export type ProducerKind = "plain" | "idempotent" | "transactional";

export interface Send {
  readonly who: string;
  readonly number: number;
  /** 0 outside of transactions. */
  readonly transaction: number;
  readonly partition: number;
}

export interface Place {
  readonly partition: number;
  readonly offset: number;
}

export interface LogRecord extends Place {
  readonly value: string;
}

export interface Read extends LogRecord {
  readonly who: string;
  readonly group: string;
}

/** Where a group is, as a commit that was acknowledged or as a question that was answered says it. */
export interface Position extends Place {
  readonly who: string;
  readonly group: string;
  readonly kind: "commit" | "seen";
  readonly fromUs: number;
  readonly toUs: number;
}

export interface KafkaHistory {
  readonly kinds: ReadonlyMap<string, ProducerKind>;
  readonly groups: readonly string[];
  /** Of what a plain producer sent twice only the last is kept. */
  readonly isCompacted: boolean;
  /** In each producer's own order. */
  readonly sends: readonly Send[];
  /** By `nameOf` the record. */
  readonly acks: ReadonlyMap<string, Place>;
  /** What was answered with a failure that no retry could mend. */
  readonly failures: ReadonlyMap<string, string>;
  /** By `nameOf` the transaction: how far its producer knows it. */
  readonly outcomes: ReadonlyMap<string, "asked" | "committed" | "aborted">;
  readonly reads: readonly Read[];
  readonly positions: readonly Position[];
  /** In the order of offsets in each partition. */
  readonly committed: readonly LogRecord[];
  readonly uncommitted: readonly LogRecord[];
  /** The end of each partition, as each isolation sees it. */
  readonly ends: { readonly committed: readonly number[]; readonly uncommitted: readonly number[] };
}

/** Of a record or of a transaction. */
export function nameOf(who: string, number: number): string {
  return `${who} ${number}`;
}

export function readValue(value: string): { who: string; number: number; transaction: number } {
  const [who = "", number, transaction] = value.split(" ");
  return { who, number: Number(number), transaction: Number(transaction) };
}

type Told = readonly (readonly [offset: number, value: string])[];

/** Gathers the lines of the clients. */
export class HistoryLines implements KafkaHistory {
  readonly kinds: ReadonlyMap<string, ProducerKind>;
  readonly groups: readonly string[];
  readonly isCompacted: boolean;
  readonly sends: Send[] = [];
  readonly acks = new Map<string, Place>();
  readonly failures = new Map<string, string>();
  readonly outcomes = new Map<string, "asked" | "committed" | "aborted">();
  readonly reads: Read[] = [];
  readonly positions: Position[] = [];
  readonly committed: LogRecord[] = [];
  readonly uncommitted: LogRecord[] = [];
  readonly ends = { committed: [] as number[], uncommitted: [] as number[] };
  /** Words and changes of assignments, for a failing test. */
  readonly words: string[] = [];
  readonly #consumed = new Map<string, Set<string>>();

  constructor(kinds: ReadonlyMap<string, ProducerKind>, groups: readonly string[], isCompacted = false) {
    this.kinds = kinds;
    this.groups = groups;
    this.isCompacted = isCompacted;
    for (const group of groups) this.#consumed.set(group, new Set());
  }

  /** How many records of what is committed the group has not read yet. */
  left(group: string): number {
    const consumed = this.#consumed.get(group);
    return this.committed.filter(({ partition, offset }) => !consumed?.has(`${partition}@${offset}`)).length;
  }

  /** False for what a killed client has not written to its end. */
  add(line: string): boolean {
    let parts: unknown[];
    try {
      parts = JSON.parse(line) as unknown[];
    } catch {
      return false;
    }
    this.#apply(parts as [string, ...never[]]);
    return true;
  }

  #apply([what, ...rest]: [string, ...never[]]): void {
    if (what === "send") {
      const [who, number, transaction, partition] = rest as unknown as [string, number, number, number];
      this.sends.push({ who, number, transaction, partition });
    } else if (what === "ack") {
      const [who, number, partition, offset] = rest as unknown as [string, number, number, number];
      this.acks.set(nameOf(who, number), { partition, offset });
    } else if (what === "failed") {
      const [who, number, words] = rest as unknown as [string, number, string];
      this.failures.set(nameOf(who, number), words);
    } else if (what === "asked" || what === "committed" || what === "aborted") {
      const [who, transaction] = rest as unknown as [string, number];
      this.outcomes.set(nameOf(who, transaction), what);
    } else if (what === "read") {
      const [who, group, partition, told] = rest as unknown as [string, string, number, Told];
      const consumed = this.#consumed.get(group);
      for (const [offset, value] of told) {
        this.reads.push({ who, group, partition, offset, value });
        consumed?.add(`${partition}@${offset}`);
      }
    } else if (what === "position") {
      const [who, group, partition, offset, fromUs, toUs, kind] = rest as unknown as [
        ...[string, string, number, number, number, number],
        "commit" | "seen",
      ];
      this.positions.push({ who, group, partition, offset, fromUs, toUs, kind });
    } else if (what === "log") {
      const [isolation, partition, told] = rest as unknown as ["committed" | "uncommitted", number, Told];
      for (const [offset, value] of told) this[isolation].push({ partition, offset, value });
    } else if (what === "end") {
      const [isolation, partition, offset] = rest as unknown as ["committed" | "uncommitted", number, number];
      this.ends[isolation][partition] = offset;
    } else {
      this.words.push(`${what} ${JSON.stringify(rest)}`);
    }
  }
}
