/**
 * Views over views: what a view reads of another is that one's query, which stands as a subquery in its place. So every
 * view is a query over tables, one batch brings all views to the same prefix, and no version waits for that of another.
 */
import { MillraceError } from "../../base/errors.ts";
import { quote, type ViewDefinition, versionsOf } from "../../catalog/definitions.ts";
import { viewOfHistory } from "./history-name.ts";
import { nearestName } from "./nearest.ts";
import { shortList } from "./scope.ts";
import { type Piece, SourceText } from "./source-text.ts";

/** A place where a view is named in the text of another. Positions are bytes. */
interface Reference {
  readonly name: string;
  readonly at: number;
  /** In FROM, and with no alias; else it is the qualifier of a column. */
  readonly as: "table" | "unnamed table" | "qualifier";
}

export class Inlining {
  readonly #views: ReadonlyMap<string, ViewDefinition>;
  readonly #check: (view: ViewDefinition, source: SourceText) => void;
  readonly #finish: (view: ViewDefinition, source: SourceText) => SourceText;
  /** Queries of views that are read, without other views in them. */
  readonly #sources = new Map<string, SourceText>();
  readonly #open: string[] = [];

  /**
   * `check` throws what is wrong with a view that is read, in the words of its own definition; `finish` makes its query of
   * what is written and the options that say more of it.
   */
  constructor(
    views: readonly ViewDefinition[],
    check: (view: ViewDefinition, source: SourceText) => void,
    finish: (view: ViewDefinition, source: SourceText) => SourceText = (_, source) => source,
  ) {
    this.#views = new Map(views.map((view) => [view.name, view]));
    this.#check = check;
    this.#finish = finish;
  }

  /** Names of the views whose queries stand in what was asked for, at any depth. */
  get names(): readonly string[] {
    return [...this.#sources.keys()].sort();
  }

  /** Throws `VIEW_SQL_INVALID`, `VIEW_UNSUPPORTED`, `VIEW_UNKNOWN_TABLE`, `VIEW_CYCLE`, and what `check` throws. */
  sourceOf(view: ViewDefinition): SourceText {
    const own = new SourceText(view.name, view.sql.text);
    const [versions, references] = partition(referencesIn(own.statement), ({ name }) => viewOfHistory(name) !== null);
    for (const one of versions) this.#checkHistory(one, own);
    if (references.length === 0) return this.#finish(view, own);
    this.#open.push(view.name);
    const pieces = piecesOf(own, references, (reference) => this.#text(reference, own));
    this.#open.pop();
    return this.#finish(view, new SourceText(view.name, own.text, pieces));
  }

  /** The versions of a view's rows are a table, which stands where it is named. */
  #checkHistory({ name, at, as }: Reference, reader: SourceText): void {
    if (as === "qualifier") return;
    const of = viewOfHistory(name) ?? "";
    const view = this.#views.get(of);
    if (view === undefined) throw this.#unknown(of, at, reader);
    if (versionsOf(view) !== null) return;
    throw reader.refusal("VIEW_UNKNOWN_TABLE", `view "${of}" keeps no history`, {
      at,
      hint: `Let it keep the versions of its rows: view("${of}", …, { history: true }).`,
      details: { table: `views.${name}` },
    });
  }

  #text({ name, at, as }: Reference, reader: SourceText): string {
    if (as === "qualifier") return quote(name);
    const source = this.#sources.get(name) ?? this.#read(name, at, reader);
    this.#sources.set(name, source);
    const captured = [...namedIn(reader.statement)].find((one) => freeTables(source.statement).has(one));
    if (captured !== undefined) {
      throw reader.refusal("VIEW_UNSUPPORTED", `its WITH names "${captured}", which view "${name}" reads as a table`, {
        at,
        hint: `Call it otherwise, or write the table with its source in view "${name}".`,
      });
    }
    return `(${source.rewritten(new Map())})${as === "unnamed table" ? ` as ${quote(name)}` : ""}`;
  }

  #read(name: string, at: number, reader: SourceText): SourceText {
    const view = this.#views.get(name);
    if (view === undefined) throw this.#unknown(name, at, reader);
    if (this.#open.includes(name)) {
      throw reader.refusal("VIEW_CYCLE", `it reads view "${name}", which reads itself`, {
        at,
        hint: "Let one of them read the tables instead.",
      });
    }
    try {
      const source = this.sourceOf(view);
      this.#check(view, source);
      return source;
    } catch (cause) {
      if (!MillraceError.is(cause) || cause.code === "VIEW_CYCLE") throw cause;
      const [reason = ""] = cause.message.replace(`view "${name}": `, "").split("\n");
      throw reader.refusal(cause.code, `it reads view "${name}", which cannot be kept: ${reason}`, {
        at,
        ...(cause.hint === undefined ? {} : { hint: cause.hint }),
        ...(typeof cause.details.history === "string" ? { details: { history: cause.details.history } } : {}),
      });
    }
  }

  #unknown(name: string, at: number, reader: SourceText): MillraceError {
    const others = [...this.#views.keys()].filter((one) => one !== reader.view);
    const nearest = nearestName(name, others);
    return reader.refusal("VIEW_UNKNOWN_TABLE", `no view is called "${name}"`, {
      at,
      hint:
        nearest !== null
          ? `Did you mean "${nearest}"?`
          : others.length === 0
            ? "Export it from the module."
            : `Views are ${shortList(others)}.`,
      details: { table: `views.${name}`, ...(nearest === null ? {} : { nearest }) },
    });
  }
}

/** All views that a view reads, them or their histories, and those that they read, in the order of their names. */
export function viewsBelow(view: ViewDefinition, views: readonly ViewDefinition[]): ViewDefinition[] {
  const byName = new Map(views.map((one) => [one.name, one]));
  const below = new Map<string, ViewDefinition>();
  const open = [view];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const name of [...viewsRead(next), ...historiesRead(next)]) {
      const found = byName.get(name);
      if (found === undefined || below.has(name)) continue;
      below.set(name, found);
      open.push(found);
    }
  }
  return [...below.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * Names of views that a view reads, by `${other}` or as `views.other`. `loadParser` must have resolved. Throws
 * `VIEW_SQL_INVALID`, `VIEW_UNSUPPORTED`.
 */
export function viewsRead(view: ViewDefinition): string[] {
  const { statement } = new SourceText(view.name, view.sql.text);
  const tables = referencesIn(statement).filter(({ name, as }) => as !== "qualifier" && viewOfHistory(name) === null);
  return [...new Set(tables.map(({ name }) => name))];
}

/** The same of views whose history it reads, by `${other.history}` or as `views."other.history"`. */
export function historiesRead(view: ViewDefinition): string[] {
  const { statement } = new SourceText(view.name, view.sql.text);
  const read = referencesIn(statement).flatMap(({ name, as }) =>
    as === "qualifier" ? [] : (viewOfHistory(name) ?? []),
  );
  return [...new Set(read)];
}

function partition<T>(all: readonly T[], isFirst: (one: T) => boolean): [T[], T[]] {
  return [all.filter(isFirst), all.filter((one) => !isFirst(one))];
}

function piecesOf(source: SourceText, references: readonly Reference[], textOf: (one: Reference) => string): Piece[] {
  return [...references]
    .sort((a, b) => a.at - b.at)
    .map((reference) => ({
      start: reference.at,
      end: source.endOfName(reference.at, 2),
      text: textOf(reference),
    }));
}

function referencesIn(statement: object): Reference[] {
  const found: Reference[] = [];
  walk(statement, (node) => {
    if (isTable(node)) {
      const { catalogname, schemaname, relname, location, alias } = node;
      if (schemaname !== "views" || catalogname !== undefined || location === undefined) return;
      found.push({ name: relname, at: location, as: alias === undefined ? "unnamed table" : "table" });
    } else if ("fields" in node && Array.isArray(node.fields) && "location" in node) {
      const [schema, name, ...more] = node.fields.map(textOfName);
      if (schema === "views" && name !== undefined && more.length > 0)
        found.push({ name, at: Number(node.location), as: "qualifier" });
    }
  });
  return found;
}

function textOfName(field: unknown): string | undefined {
  if (typeof field !== "object" || field === null || !("String" in field)) return undefined;
  return (field.String as { sval?: string }).sval;
}

interface TableNode {
  readonly relname: string;
  readonly schemaname?: string;
  readonly catalogname?: string;
  readonly location?: number;
  readonly alias?: object;
}

export function isTable(node: object): node is TableNode {
  return "relname" in node && typeof node.relname === "string";
}

/** Every name that a WITH gives. */
function namedIn(statement: object): Set<string> {
  const names = new Set<string>();
  walk(statement, (node) => {
    if ("ctename" in node && typeof node.ctename === "string") names.add(node.ctename);
  });
  return names;
}

/** Names without a source that no WITH of the statement itself gives where they stand. */
function freeTables(statement: object): Set<string> {
  const free = new Set<string>();
  visit(statement, new Set());
  return free;

  function visit(node: unknown, known: ReadonlySet<string>): void {
    if (typeof node !== "object" || node === null) return;
    if (isTable(node) && node.schemaname === undefined && !known.has(node.relname)) free.add(node.relname);
    const { withClause, ...rest } = node as { withClause?: { ctes?: object[]; recursive?: boolean } };
    const ctes = (withClause?.ctes ?? []).flatMap((one) =>
      "CommonTableExpr" in one ? [one.CommonTableExpr as { ctename?: string; ctequery?: object }] : [],
    );
    let seen = known;
    if (withClause?.recursive === true) seen = new Set([...known, ...ctes.map(({ ctename = "" }) => ctename)]);
    for (const { ctename = "", ctequery } of ctes) {
      visit(ctequery, seen);
      seen = new Set([...seen, ctename]);
    }
    for (const child of Object.values(rest)) visit(child, seen);
  }
}

export function walk(root: unknown, visit: (node: object) => void): void {
  if (typeof root !== "object" || root === null) return;
  visit(root);
  for (const child of Object.values(root)) walk(child, visit);
}
