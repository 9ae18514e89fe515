/**
 * Joins with a view's history as of a moment: `r._valid_from <= s.at and (r._valid_to is null or s.at < r._valid_to)`.
 * A row of one key has one version at a time, so that the key and the moment tell the version.
 */
import {
  type Bound,
  type Branch,
  type ColumnHole,
  type Conjunct,
  columnsOf,
  type Hole,
  type Occurrence,
  print,
} from "./bound.ts";

export const validFrom = "_valid_from";
export const validTo = "_valid_to";

/** Whether the conditions pick at most one version for each key: `isKnown` says whether a moment is. */
export function isAsOf(
  { occurrences, conjuncts }: Pick<Branch, "occurrences" | "conjuncts">,
  history: Occurrence,
  isKnown: (moment: Bound) => boolean,
): boolean {
  const printed = (bound: Bound) => print(bound, (hole) => nameOf(hole, history, occurrences));
  const conditions = conjuncts.map(({ bound }) => ({ bound, text: printed(bound) }));
  return conditions.some(({ bound, text }) => {
    const moment = begun(text);
    if (moment === null) return false;
    const others = columnsOf(bound).filter(({ occurrence, column }) => occurrence !== history || column !== validFrom);
    return isKnown({ ...bound, parts: others }) && conditions.some((other) => notOver(other.text).includes(moment));
  });
}

/** The moment of `_valid_from <= moment`. */
function begun(text: string): string | null {
  const found = /^\(:from <= (.+)\)$/s.exec(text) ?? /^\((.+) >= :from\)$/s.exec(text);
  return found?.[1] ?? null;
}

/** The moment of `_valid_to is null or moment < _valid_to`, in any order. */
function notOver(text: string): string[] {
  const open = "\\(:to is null\\)";
  return [`\\((.+) < :to\\)`, `\\(:to > (.+)\\)`]
    .flatMap((before) => [`${open} or ${before}`, `${before} or ${open}`])
    .flatMap((form) => new RegExp(`^\\(${form}\\)$`, "s").exec(text)?.[1] ?? []);
}

function nameOf(hole: Hole, history: Occurrence, occurrences: readonly Occurrence[]): string {
  if (hole.kind === "clock") return hole.topic === undefined ? ":clock" : `:clock ${hole.topic}`;
  if (hole.kind !== "column") return ":other";
  if (hole.occurrence !== history) return `:${occurrences.indexOf(hole.occurrence)}.${hole.column}`;
  return hole.column === validFrom ? ":from" : hole.column === validTo ? ":to" : `:own.${hole.column}`;
}

/**
 * The same by the keys of bounds, for queries that are recomputed by key: what a moment and a key tell of a version. Moments are
 * columns or constants. Of an outer join only what its conditions choose rows of may be `chosen`.
 */
export function versionsTold(
  conjuncts: readonly Conjunct[],
  chosen: (column: string) => boolean = () => true,
): { readonly given: readonly string[]; readonly known: readonly string[] }[] {
  const keys = new Set(conjuncts.map(({ bound }) => bound.key));
  return conjuncts.flatMap(({ bound }) => {
    const found =
      /^\((#\S+\.)_valid_from <= (\S+)\)$/.exec(bound.key) ?? /^\((\S+) >= (#\S+\.)_valid_from\)$/.exec(bound.key);
    const [from = "", moment = ""] = found?.[1]?.endsWith(".") ? found.slice(1) : (found?.slice(1).reverse() ?? []);
    const history = columnsOf(bound).find(({ column }) => column === validFrom)?.occurrence.mirror.shape.history;
    if (history === undefined || from === "" || !chosen(`${from}${validFrom}`)) return [];
    const [open, later] = [
      `(${from}_valid_to is null)`,
      [`(${moment} < ${from}_valid_to)`, `(${from}_valid_to > ${moment})`],
    ];
    const isOver = later.some((one) => keys.has(`(${open} or ${one})`) || keys.has(`(${one} or ${open})`));
    const given = [...(moment.includes("#") ? [moment] : []), ...history.key.map((column) => from + column)];
    return isOver ? [{ given, known: [from + validFrom] }] : [];
  });
}

/** The columns of an index by which rows are found that equal something, and are as of a moment where a history is joined so. */
export function probedAsOf(
  occurrence: Occurrence,
  probes: readonly string[],
  conjuncts: readonly Conjunct[],
): string[] {
  const own = [...probes].sort();
  if (occurrence.mirror.shape.history !== undefined) return withLast(own, validFrom);
  const moment = conjuncts.flatMap(({ bound }) => momentOf(bound)).find((one) => one.occurrence === occurrence);
  return moment === undefined ? own : withLast(own, moment.column);
}

/** The column that is compared with the beginning of a version. */
function momentOf({ parts }: Bound): ColumnHole[] {
  const [open, a, operator, b, ...rest] = parts;
  if (open !== "(" || rest.length !== 1 || !isColumn(a) || !isColumn(b)) return [];
  const [from, moment] = operator === " <= " ? [a, b] : operator === " >= " ? [b, a] : [];
  const isVersion = from?.occurrence.mirror.shape.history !== undefined && from.column === validFrom;
  return isVersion && moment !== undefined ? [moment] : [];
}

function isColumn(part: string | Hole | undefined): part is ColumnHole {
  return typeof part === "object" && part.kind === "column";
}

function withLast(columns: readonly string[], last: string): string[] {
  return columns.includes(last) ? [...columns] : [...columns, last];
}
