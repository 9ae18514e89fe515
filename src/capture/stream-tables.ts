/**
 * The tables of a stream: what is known of each, and what the server has told of it in this connection. A table that is
 * read anew has a gate: what the stream tells of it in another shape lies before that shape, and is passed over.
 */
import { type CapturedTable, compareRelation, type RelationChange } from "./captured-table.ts";
import { DecodeError, type Relation } from "./pgoutput.ts";

export interface TableChange {
  readonly table: CapturedTable;
  readonly relation: Relation;
  readonly change: Exclude<RelationChange, { readonly kind: "same" }>;
}

const noChanges: readonly TableChange[] = [];

export class StreamTables {
  readonly #tables = new Map<number, CapturedTable>();
  readonly #relations = new Map<number, Relation>();
  /** Told, and not yet compared with what is known. */
  readonly #unchecked = new Set<number>();
  /** Tables in another shape than the stream may tell at first, with what it had told by then; and those for which it does. */
  readonly #gates = new Map<number, Relation | undefined>();
  readonly #foreign = new Set<number>();

  constructor(tables: readonly CapturedTable[]) {
    for (const table of tables) this.#tables.set(table.oid, table);
  }

  list(): readonly CapturedTable[] {
    return [...this.#tables.values()];
  }

  get(oid: number): CapturedTable | undefined {
    return this.#tables.get(oid);
  }

  relation(oid: number): Relation | undefined {
    return this.#relations.get(oid);
  }

  /** The same table with other columns. */
  set(table: CapturedTable): void {
    this.#tables.set(table.oid, table);
  }

  /** The table is read anew in this shape; the gate is shut. */
  replace(table: CapturedTable): void {
    for (const [oid, { topic }] of this.#tables) if (topic === table.topic) this.#tables.delete(oid);
    this.#tables.set(table.oid, table);
    this.#gates.set(table.oid, this.#relations.get(table.oid));
    this.#judge(table);
  }

  /**
   * All that lies before the shape has been passed. Answers whether the stream has told another one since the gate was shut:
   * then it may be a newer one. One that was told before is an older one, of which nothing more can come.
   */
  openGate({ oid }: CapturedTable): boolean {
    const told = this.#relations.get(oid) !== this.#gates.get(oid);
    this.#gates.delete(oid);
    return this.#foreign.delete(oid) && told;
  }

  told(relation: Relation): void {
    this.#relations.set(relation.oid, relation);
    this.#unchecked.add(relation.oid);
  }

  /** Null for a table that is passed over: not captured, or in a shape that it had once. Throws `DecodeError`. */
  ofChange(oid: number): CapturedTable | null {
    if (this.#foreign.has(oid)) return null;
    const table = this.#tables.get(oid);
    if (table !== undefined) return table;
    if (!this.#relations.has(oid)) throw new DecodeError("a change names a relation that was not described", oid);
    return null;
  }

  /** What was told since the last call, and differs from what is known. */
  changes(): readonly TableChange[] {
    if (this.#unchecked.size === 0) return noChanges;
    const found: TableChange[] = [];
    for (const oid of this.#unchecked) {
      const relation = this.#relations.get(oid);
      const table = this.#tables.get(oid);
      if (relation === undefined || table === undefined) continue;
      if (this.#gates.has(oid)) {
        this.#judge(table);
        continue;
      }
      const change = compareRelation(table, relation);
      if (change.kind !== "same") found.push({ table, relation, change });
    }
    this.#unchecked.clear();
    return found;
  }

  #judge(table: CapturedTable): void {
    const relation = this.#relations.get(table.oid);
    if (relation === undefined || compareRelation(table, relation).kind === "same") this.#foreign.delete(table.oid);
    else this.#foreign.add(table.oid);
  }
}
