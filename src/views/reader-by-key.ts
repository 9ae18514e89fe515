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
import { staleSince } from "./stale-view.ts";
import type { EncodedRow, GroupPosition, RowAnswer, RowCacheFigures, RowOptions } from "./view-info.ts";

export interface ReadsByKeyOptions {
  readonly group: Pick<GroupViews, "position" | "positionSql">;
  /** Of versions of which everybody is shown the same: no others are kept. */
  readonly select: Select;
  /** 0 keeps nothing. */
  readonly bytesMax: number;
}

/** Where one caller's rows are read that are not in memory. */
export interface RowsFrom {
  readonly group: Pick<GroupViews, "positionSql" | "readable" | "relations">;
  readonly select: Select;
}

/** With a name the statement stays prepared. */
type Select = <Row extends object>(statement: Statement, name?: string) => Promise<Row[]>;

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
      row: (live: LiveView, key: readonly string[]) => this.#row(live, key, options),
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

  read(live: LiveView, parts: readonly string[], options: RowOptions, from: RowsFrom): Promise<RowAnswer> {
    const key = this.#keyOf(live, parts, options);
    if (key !== null) return this.#cache.read(live.name, live, key, parts);
    return options.select === null ? this.#row(live, parts, from) : this.#selected(live, parts, options.select, from);
  }

  figures(): readonly RowCacheFigures[] {
    return this.#cache.figures();
  }

  #keyOf(live: LiveView, parts: readonly string[], { select }: RowOptions): string | null {
    // Where a view stands that is behind the group says the store alone.
    const behind = live.compiled.whole !== undefined || live.stale !== undefined;
    if (select !== null || this.#options.bytesMax === 0 || behind || live.policed || live.past) return null;
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

  async #row(
    live: LiveView,
    key: readonly string[],
    { group, select }: Omit<RowsFrom, "group"> & { readonly group: Pick<GroupViews, "positionSql"> },
  ): Promise<RowAnswer> {
    const statement = rowSql(live, key, null, positionSqlOf(group, [live]));
    const name = live.stale === undefined && live.past === undefined ? preparedName("r", live) : undefined;
    return rowAnswer(await select<FoundRow>(statement, name), [live]);
  }

  async #selected(
    live: LiveView,
    key: readonly string[],
    members: NonNullable<RowOptions["select"]>,
    { group, select }: RowsFrom,
  ): Promise<RowAnswer> {
    const shown = viewsShown(group, { view: live.name, select: members });
    const statement = rowSql(withRelations(group, live), key, members, positionSqlOf(group, shown));
    return rowAnswer(await select<FoundRow>(statement), shown);
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

interface FoundRow extends PositionRow {
  readonly row: string | null;
}

function rowAnswer([found]: readonly FoundRow[], shown: readonly LiveView[]): RowAnswer {
  const position = positionOf(found);
  return { row: found && found.row !== null ? encodeRow(found.row) : null, position, ...staleSince(shown) };
}

function encodeRow(json: string): EncodedRow {
  const body = `${json}\n`;
  const tag = createHash("sha256").update(json).digest("base64url").slice(0, 22);
  return { body, bytes: Buffer.byteLength(body), tag };
}
