/**
 * Which columns identify a row, for queries that are recomputed by key: functional dependencies from primary keys,
 * equalities and constants, over outer joins too. Columns are named by their keys (`Bound.key`), which are the same in
 * every alternative.
 */

/** A table, subquery or function of a FROM clause. */
export interface RowSource {
  /** Keys of its columns, in order. */
  readonly columns: readonly string[];
  /** Whether its row is known when these columns of it are; by key. */
  readonly determinedBy: (known: (key: string) => boolean) => boolean;
}

export interface Equality {
  readonly a: string;
  readonly b: string;
  /**
   * For a condition of an outer join: `a` says what `b` is once the rows of these sources are known, and never the other
   * way round.
   */
  readonly once: readonly RowSource[] | null;
}

/** Columns that are `known` when all of `given` are, by key. */
export interface Implication {
  readonly given: readonly string[];
  readonly known: readonly string[];
}

export interface RowFacts {
  readonly sources: RowSource[];
  readonly equalities: Equality[];
  readonly implications: Implication[];
}

export function noFacts(): RowFacts {
  return { sources: [], equalities: [], implications: [] };
}

export interface Known {
  readonly columns: ReadonlySet<string>;
  readonly rows: ReadonlySet<RowSource>;
}

/** What follows from columns that are known. `constants` are keys that name no column. */
export function closure(facts: RowFacts, start: Iterable<string>): Known {
  const columns = new Set(start);
  const rows = new Set<RowSource>();
  const known = (key: string) => columns.has(key) || !key.includes("#");
  for (let before = -1; before < columns.size + rows.size; ) {
    before = columns.size + rows.size;
    for (const { a, b, once } of facts.equalities) {
      if (once === null) {
        if (known(a)) columns.add(b);
        if (known(b)) columns.add(a);
      } else if (known(a) && once.every((source) => rows.has(source))) columns.add(b);
    }
    for (const { given, known: then } of facts.implications) {
      if (given.every(known)) for (const column of then) columns.add(column);
    }
    for (const source of facts.sources) {
      if (rows.has(source) || !source.determinedBy(known)) continue;
      rows.add(source);
      for (const column of source.columns) columns.add(column);
    }
  }
  return { columns, rows };
}

export function allRowsKnown(facts: RowFacts, start: Iterable<string>): boolean {
  return closure(facts, start).rows.size === facts.sources.length;
}

/** The same test, asked once for each set: around a subquery it is asked again and again, at each level. */
export function remembered(determines: (positions: ReadonlySet<number>) => boolean): typeof determines {
  const answers = new Map<string, boolean>();
  return (positions) => {
    const key = [...positions].sort((a, b) => a - b).join();
    const known = answers.get(key);
    if (known !== undefined) return known;
    const answer = determines(positions);
    answers.set(key, answer);
    return answer;
  };
}
