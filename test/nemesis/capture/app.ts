/** What is captured under fire. `total` is a bank's invariant: transfers move money, and every state has the same sum. */
import { postgres, sql, view } from "millrace";

export const fire = postgres("fire", {
  url: process.env.FIRE_URL ?? "",
  tables: ["accounts", "items", "bulk", "whole"],
});

export const total = view("total", sql`select count(*) as n, sum(balance) as sum from ${fire.accounts}`);

export const byPart = view(
  "by_part",
  sql`select batch as part, count(*) as n, sum(v) as sum from ${fire.bulk} group by batch`,
  { key: "part" },
);

export const byLength = view(
  "by_length",
  sql`select length(doc) as length, count(*) as n, sum(v) as sum from ${fire.items} group by length(doc)`,
);

export const noted = view("noted", sql`select id, v, note from ${fire.whole} where v % 2 = 0`, { key: "id" });
