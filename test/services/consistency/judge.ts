/**
 * The views of the bank, one of each class, and what is wrong with a state of them all. In a state that the books had
 * nothing is; one that mixes two of them, or has part of a transaction, breaks at least one of the equations.
 */
import type { ViewDefinition } from "../../../src/catalog/definitions.ts";
import { viewOf } from "../../../src/views/group-fixture.ts";
import { accountCount, type Books, linesOf, total } from "./books.ts";

export const definitions: readonly ViewDefinition[] = [
  viewOf("tick", "select id, n from bank.ticks", "id"),
  // additive
  viewOf("overall", "select count(*) as n, sum(balance) as total, sum(moves) as moves from bank.accounts"),
  viewOf(
    "by_branch",
    "select branch, count(*) as n, sum(balance) as total, sum(moves) as moves from bank.accounts group by branch",
    "branch",
  ),
  // keyed
  viewOf(
    "spread",
    "select branch, sum(balance::float8) as total, max(balance) as top, min(balance) as low from bank.accounts group by branch",
    "branch",
  ),
  // linear
  viewOf(
    "joined",
    "select a.id, a.branch, a.balance, a.moves, b.balance as branch_balance from bank.accounts a join bank.branches b on b.id = a.branch",
    "id",
  ),
  // over two tables
  viewOf(
    "difference",
    "select account, count(*) as n, sum(v) as difference from (select id as account, balance as v from bank.accounts" +
      " union all select account, -amount from bank.entries) x group by account",
    "account",
  ),
  // counted
  viewOf(
    "strays",
    "select a.id from bank.accounts a where not exists (select from bank.entries e where e.account = a.id)",
    "id",
  ),
  // over views
  viewOf("over", "select branch, n, total, moves from views.by_branch where n > 0", "branch"),
  viewOf(
    "over_join",
    "select v.branch, v.total - b.balance as difference from views.by_branch v join bank.branches b on b.id = v.branch",
    "branch",
  ),
];

export const viewNames = definitions.map((one) => one.name);

export type Row = Readonly<Record<string, number | string>>;
export type State = Readonly<Record<string, readonly Row[]>>;

/** What is wrong with a state of all views, in one line; null when it is one that the books had. */
export function wrongIn(state: State, books: Books): string | null {
  for (const view of viewNames) {
    const wrong = wrongAlone(view, state[view] ?? []);
    if (wrong !== null) return wrong;
  }
  const { by_branch = [], spread = [], joined = [], overall = [], over = [], tick = [], over_join = [] } = state;
  const branches = branchesOf(joined);
  const perBranch = (rows: readonly Row[], columns: readonly string[]) =>
    rows
      .map((row) => columns.map((column) => Number(row[column])).join(" "))
      .sort()
      .join(", ");
  const sides = (columns: readonly string[], rows: readonly Row[]) =>
    perBranch(rows, columns) === perBranch(branches, columns)
      ? null
      : `${perBranch(rows, columns)} where the accounts come to ${perBranch(branches, columns)}`;
  const numbers = (row: Row | undefined) => [row?.n, row?.total, row?.moves].map(Number).join(" ");
  const sums = [accountCount, total, sumOf(joined, "moves")].join(" ");
  const at = Number(tick[0]?.n);
  return (
    named("by_branch", sides(["branch", "n", "total", "moves"], by_branch)) ??
    named("spread", sides(["branch", "total", "top", "low"], spread)) ??
    (numbers(overall[0]) === sums ? null : `overall: ${numbers(overall[0])}, not ${sums}`) ??
    named("over", sides(["branch", "n", "total", "moves"], over)) ??
    (over_join.length === by_branch.length ? null : `over_join: ${over_join.length} branches`) ??
    (books.had(at, linesOf(joined as never)) ? null : `joined: not the accounts after ${at} transactions`)
  );
}

/** What is wrong with one view alone. */
export function wrongAlone(view: string, rows: readonly Row[]): string | null {
  const bad = (why: boolean, what: string) => (why ? `${view}: ${what}` : null);
  switch (view) {
    case "tick":
    case "overall":
      return (
        bad(rows.length !== 1, `${rows.length} rows`) ??
        bad(view !== "tick" && Number(rows[0]?.total) !== total, `the total is ${rows[0]?.total}`) ??
        bad(view === "overall" && Number(rows[0]?.n) !== accountCount, `${rows[0]?.n} accounts`)
      );
    case "by_branch":
    case "over":
      return (
        bad(sumOf(rows, "total") !== total, `the total is ${sumOf(rows, "total")}`) ??
        bad(sumOf(rows, "n") !== accountCount, `${sumOf(rows, "n")} accounts`)
      );
    case "spread":
      return bad(sumOf(rows, "total") !== total, `the total is ${sumOf(rows, "total")}`);
    case "joined":
      return (
        bad(rows.length !== accountCount, `${rows.length} accounts`) ??
        bad(sumOf(rows, "balance") !== total, `the total is ${sumOf(rows, "balance")}`) ??
        bad(
          branchesOf(rows).some((branch) => branch.total !== branch.balance),
          "a branch has another balance than its accounts",
        )
      );
    case "difference":
      return (
        bad(rows.length !== accountCount, `${rows.length} accounts`) ??
        bad(
          rows.some((row) => Number(row.difference) !== 0),
          "an account differs from its entries",
        )
      );
    case "over_join":
      return bad(
        rows.some((row) => Number(row.difference) !== 0),
        "a branch differs from its accounts",
      );
    default:
      return bad(rows.length > 0, `${rows.length} rows`);
  }
}

/**
 * The same in SQL: one row `(tick, wrong)`, where `wrong` names the first equation that does not hold. All views are read
 * by the one statement.
 */
export const wrongSql = `
  with b as (select branch, n, total, moves from views.by_branch),
       j as (select branch, count(*) as n, sum(balance) as total, sum(moves) as moves, max(balance) as top, min(balance) as low,
               max(branch_balance) as highest, min(branch_balance) as lowest from views.joined group by branch),
       s as (select branch, total, top, low from views.spread),
       t as (select n, total, moves from views.overall),
       o as (select branch, n, total, moves from views.over),
       a as (select count(*) as n, sum(total) as total, sum(moves) as moves, count(*) filter (where highest <> total or lowest <> total) as torn,
               sum(n) as accounts from j)
  select (select n from views.tick) as tick, case
    when (t.n, t.total) <> (${accountCount}, ${total}) then 'overall'
    when (a.accounts, a.total, a.moves) <> (t.n, t.total, t.moves) then 'joined against overall'
    when (select count(*) from o join j using (branch, n, total, moves)) <> a.n or (select count(*) from o) <> a.n then 'over'
    when a.torn > 0 then 'joined'
    when (select count(*) from b join j using (branch, n, total, moves)) <> a.n or (select count(*) from b) <> a.n then 'by_branch'
    when (select count(*) from s join j using (branch, top, low) where s.total = j.total) <> a.n or (select count(*) from s) <> a.n then 'spread'
    when (select count(*) filter (where difference = 0) from views.difference) <> ${accountCount} then 'difference'
    when (select count(*) filter (where difference = 0) from views.over_join) <> a.n then 'over_join'
    when exists (select from views.strays) then 'strays'
  end as wrong from t, a`;

function branchesOf(joined: readonly Row[]) {
  const branches = new Map<
    number,
    { branch: number; n: number; total: number; moves: number; top: number; low: number; balance: number }
  >();
  for (const row of joined) {
    const [branch, balance, moves, branchBalance] = [row.branch, row.balance, row.moves, row.branch_balance].map(
      Number,
    ) as [number, number, number, number];
    const known = branches.get(branch);
    branches.set(branch, {
      branch,
      n: (known?.n ?? 0) + 1,
      total: (known?.total ?? 0) + balance,
      moves: (known?.moves ?? 0) + moves,
      top: Math.max(known?.top ?? balance, balance),
      low: Math.min(known?.low ?? balance, balance),
      // Two rows of one branch that disagree about it make a balance that equals nothing.
      balance: known === undefined || known.balance === branchBalance ? branchBalance : Number.NaN,
    });
  }
  return [...branches.values()];
}

function sumOf(rows: readonly Row[], column: string): number {
  return rows.reduce((sum, row) => sum + Number(row[column]), 0);
}

function named(view: string, wrong: string | null): string | null {
  return wrong === null ? null : `${view}: ${wrong}`;
}
