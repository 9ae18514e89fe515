/**
 * One row by its key: from memory where the view's keys have one spelling and all columns are asked for, else from the
 * store. What is kept and when it goes is `row-cache.ts`; here is what it stands on, in SQL.
 */
import { createHash } from "node:crypto";
import type { GroupViews, LiveView } from "./live-view.ts";
import { gapReason, type PositionRow, positionOf, preparedName } from "./reader-position.ts";
import { positionSqlOf, viewsShown } from "./reader-reach.ts";
import { type ChangedKeys, RowCache } from "./row-cache.ts";
import { joinKey, type RowKeys, rowKeys } from "./row-key.ts";
import { withRelations } from "./row-relations.ts";
import { rowSql, type Statement } from "./row-sql.ts";
import { staleSince, withStale } from "./stale-view.ts";
import type { EncodedRow, GroupPosition, RowAnswer, RowCacheFigures, RowOptions } from "./view-info.ts";

export interface ReadsByKeyOptions {
  readonly group: Pick<GroupViews, "position" | "positionSql" | "readable" | "relations">;
  /** With a name the statement stays prepared. */
  readonly select: <Row extends object>(statement: Statement, name?: string) => Promise<Row[]>;
  /** 0 keeps nothing. */
  readonly bytesMax: number;
}

/** So many change rows are looked at; after more of them the view's rows are forgotten. */
const changeRowsMax = 20_000;

export class ReadsByKey {
  readonly #options: ReadsByKeyOptions;
  readonly #cache: RowCache<LiveView>;
  readonly #keys = new WeakMap<LiveView, { readonly of: RowKeys | null }>();

  constructor(options: ReadsByKeyOptions) {
    this.#options = options;
    const source = {
      position: () => options.group.position(),
      row: (live: LiveView, key: readonly string[]) => this.#row(live, key, { select: null }),
      changedKeys: (live: LiveView, after: GroupPosition) => this.#changedKeys(live, after),
    };
    this.#cache = new RowCache(source, options.bytesMax);
  }

  saw(position: GroupPosition): void {
    this.#cache.saw(position);
  }

  /** The row, if it is in memory and can be answered as it is. */
  find(live: LiveView, parts: readonly string[], options: RowOptions): RowAnswer | undefined {
    const key = this.#keyOf(live, parts, options);
    return key === null ? undefined : this.#cache.find(live.name, live, key);
  }

  read(live: LiveView, parts: readonly string[], options: RowOptions): Promise<RowAnswer> {
    const key = this.#keyOf(live, parts, options);
    return key === null ? this.#row(live, parts, options) : this.#cache.read(live.name, live, key, parts);
  }

  figures(): readonly RowCacheFigures[] {
    return this.#cache.figures();
  }

  #keyOf(live: LiveView, parts: readonly string[], { select }: RowOptions): string | null {
    // Where a view stands that is behind the group says the store alone.
    const behind = live.compiled.whole !== undefined || live.stale !== undefined;
    if (select !== null || this.#options.bytesMax === 0 || behind) return null;
    return this.#keysOf(live)?.textOf(parts) ?? null;
  }

  #keysOf(live: LiveView): RowKeys | null {
    let known = this.#keys.get(live);
    if (!known) {
      known = { of: rowKeys(live) };
      this.#keys.set(live, known);
    }
    return known.of;
  }

  async #row(live: LiveView, key: readonly string[], { select, stale }: RowOptions): Promise<RowAnswer> {
    const { select: run } = this.#options;
    const group = stale ? withStale(this.#options.group) : this.#options.group;
    const view = select === null ? live : withRelations(group, live);
    const shown = select === null ? [live] : viewsShown(group, { view: live.name, select });
    const statement = rowSql(view, key, select, positionSqlOf(group, shown));
    const name = select === null && live.stale === undefined ? preparedName("r", live) : undefined;
    const [found] = await run<PositionRow & { row: string | null }>(statement, name);
    const position = positionOf(found);
    return { row: found && found.row !== null ? encodeRow(found.row) : null, position, ...staleSince(shown) };
  }

  async #changedKeys(live: LiveView, after: GroupPosition): Promise<ChangedKeys> {
    const { group, select } = this.#options;
    const statement = (this.#keysOf(live) as RowKeys).changedSql(
      { after: after.batch, rowsMax: changeRowsMax },
      group.positionSql,
    );
    const rows = await select<ChangedKeyRow>(statement, preparedName("k", live));
    const [head] = rows;
    const position = positionOf(head && { generation: head.generation, batch: head.current });
    const isTold = gapReason(after, position, Number(head?.oldest)) === null && rows.length <= changeRowsMax;
    if (!isTold) return { position, keys: null };
    const changed = rows.filter((row) => row.batch !== null);
    return { position, keys: changed.map(({ key, batch }) => ({ key: joinKey(key ?? []), batch: Number(batch) })) };
  }
}

interface ChangedKeyRow {
  readonly generation: string;
  readonly current: string;
  readonly oldest: string;
  readonly batch: string | null;
  readonly key: readonly (string | null)[] | null;
}

function encodeRow(json: string): EncodedRow {
  const body = `${json}\n`;
  const tag = createHash("sha256").update(json).digest("base64url").slice(0, 22);
  return { body, bytes: Buffer.byteLength(body), tag };
}
