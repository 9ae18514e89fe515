/** The newest event of each key that is asked for, over what was read of the tables' topics so far. */
import type { StoredRecord } from "../records/record.ts";
import { readKeyText, unchangedHeader } from "../schema/envelope.ts";
import type { WireReader } from "../schema/registry/wire-reader.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { valueForm } from "../schema/value-form.ts";
import type { RetryPlan } from "./retry-plan.ts";

export interface NewestEvent {
  /** Of the change. */
  readonly lsn: number;
  readonly offset: number;
  /** It leaves out large values that its change did not touch. */
  readonly hasGaps: boolean;
}

interface TopicKeys {
  shape: TableShape;
  /** Where to go on. */
  from: number;
  /** By the key's bytes in JSON, as latin-1 text; null while there is none. */
  readonly newest: Map<string, NewestEvent | null>;
  /** The same keys in a form that is one for every encoding, with their bytes in JSON. */
  readonly byText: Map<string, string>;
  truncate: NewestEvent | null;
}

export class NewestEvents {
  readonly #wire: WireReader;
  readonly #topics = new Map<string, TopicKeys>();

  constructor(wire: WireReader) {
    this.#wire = wire;
  }

  /** Of rows that are tried. A key that comes late may have events among those that were read: they are read again. */
  want(plans: readonly RetryPlan[]): void {
    for (const plan of plans) {
      if (plan.kind !== "row") continue;
      const { shape } = plan.table;
      const keys = this.#topics.get(shape.topic) ?? newKeys(shape);
      this.#topics.set(shape.topic, keys);
      for (const key of plan.keys) {
        if (keys.newest.has(key)) continue;
        keys.newest.set(key, null);
        keys.from = 0;
        const text = keyText(Buffer.from(key, "latin1"), shape);
        if (text !== null) keys.byText.set(text, key);
      }
    }
  }

  /** Tables of the rows that are asked for. */
  get shapes(): readonly TableShape[] {
    return [...this.#topics.values()].map(({ shape }) => shape);
  }

  from({ topic }: TableShape): number {
    return this.#topics.get(topic)?.from ?? 0;
  }

  scanned({ topic }: TableShape, to: number): void {
    const keys = this.#topics.get(topic);
    if (keys) keys.from = to;
  }

  take({ topic }: TableShape, record: StoredRecord): void {
    const keys = this.#topics.get(topic);
    if (!keys || record.value === null) return;
    if (record.key === null) {
      const { op, lsn } = eventOf(record.value, this.#wire);
      if (op === "t") keys.truncate = { lsn, offset: record.offset, hasGaps: false };
      return;
    }
    const key = this.#keyOf(record.key, keys);
    if (key === undefined) return;
    const { lsn } = eventOf(record.value, this.#wire);
    const hasGaps = record.headers.some((header) => header.key === unchangedHeader);
    keys.newest.set(key, { lsn: Math.max(lsn, keys.newest.get(key)?.lsn ?? 0), offset: record.offset, hasGaps });
  }

  /** Of any of the keys, or of the table as a whole; null when there is none. */
  of(topic: string, keys: readonly string[]): NewestEvent | null {
    const known = this.#topics.get(topic);
    const found = [known?.truncate, ...keys.map((key) => known?.newest.get(key))].filter((one) => one != null);
    if (found.length === 0) return null;
    const last = found.reduce((a, b) => (b.offset > a.offset ? b : a));
    return { ...last, lsn: Math.max(...found.map(({ lsn }) => lsn)) };
  }

  /** A row was written behind all that was read. */
  written(topic: string, keys: readonly string[], lsn: number): void {
    const known = this.#topics.get(topic);
    for (const key of keys) known?.newest.set(key, { lsn, offset: Number.MAX_SAFE_INTEGER, hasGaps: false });
  }

  #keyOf(key: Buffer, { newest, byText, shape }: TopicKeys): string | undefined {
    const reading = this.#wire.read(key);
    if (reading === null) {
      const plain = key.toString("latin1");
      return newest.has(plain) ? plain : undefined;
    }
    const text = reading.ok ? keyText(Buffer.from(reading.json), shape) : null;
    return text === null ? undefined : byText.get(text);
  }
}

function newKeys(shape: TableShape): TopicKeys {
  return { shape, from: 0, newest: new Map(), byText: new Map(), truncate: null };
}

/** Null for bytes that are no key of the table. A float has many texts. */
function keyText(json: Buffer, shape: TableShape): string | null {
  try {
    const texts = readKeyText(json, shape);
    const isFloat = (name: string) =>
      shape.columns.some((one) => one.name === name && kindOf(one.storeType) === "float");
    return JSON.stringify(texts.map((text, i) => (isFloat(shape.key?.[i] ?? "") ? Number(text) : text)));
  } catch (cause) {
    if (cause instanceof SyntaxError || cause instanceof RangeError) return null;
    throw cause;
  }
}

function kindOf(storeType: string): string {
  return valueForm(storeType).kind;
}

function eventOf(value: Buffer, wire: WireReader): { readonly op: string; readonly lsn: number } {
  const reading = wire.read(value);
  const json = reading?.ok ? reading.json : value.toString();
  try {
    const event = JSON.parse(json) as { op?: string; source?: { lsn?: number } } | null;
    return { op: event?.op ?? "", lsn: event?.source?.lsn ?? 0 };
  } catch {
    return { op: "", lsn: 0 };
  }
}
