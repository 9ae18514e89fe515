/** TPC-B's books: in every committed state each `difference` is 0, and every transaction changes every view. */
import { postgres, sql, topic, view } from "millrace";

export const bank = postgres("bank", {
  url: process.env.BANK_URL ?? "",
  tables: ["pgbench_branches", "pgbench_tellers", "pgbench_accounts", { name: "pgbench_history", appendOnly: true }],
});

export const byBranch = view(
  "by_branch",
  sql`
    select bid, count(*) as n, sum(v) as difference
    from (select bid, bbalance as v from ${bank.pgbench_branches}
          union all select bid, -delta from ${bank.pgbench_history}) x
    group by bid`,
  { key: "bid" },
);

export const byTeller = view(
  "by_teller",
  sql`
    select tid, count(*) as n, sum(v) as difference
    from (select tid, tbalance as v from ${bank.pgbench_tellers}
          union all select tid, -delta from ${bank.pgbench_history}) x
    group by tid`,
  { key: "tid", publish: topic("teller-books", { partitions: 3 }) },
);

export const byAccount = view(
  "by_account",
  sql`
    select aid, count(*) as n, sum(v) as difference
    from (select aid, abalance as v from ${bank.pgbench_accounts}
          union all select aid, -delta from ${bank.pgbench_history}) x
    group by aid`,
  { key: "aid" },
);

export const overall = view(
  "overall",
  sql`
    select count(*) as n, sum(v) as difference
    from (select abalance as v from ${bank.pgbench_accounts}
          union all select -tbalance from ${bank.pgbench_tellers}) x`,
);
