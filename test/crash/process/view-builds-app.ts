/** A bank's accounts, and views of them in the form that `BOOKS_FORM` names: each start with another one builds them anew. */
import { postgres, sql, view } from "millrace";

export const bank = postgres("bank", { url: process.env.BANK_URL ?? "", tables: ["accounts", "owners"] });

const { accounts, owners } = bank;

/** Additive with other columns each, and one that is run again by key. */
const forms = [
  sql`select owner, sum(balance) as balance from ${accounts} group by owner`,
  sql`select owner, count(*) as n, sum(balance) as balance from ${accounts} group by owner`,
  sql`select owner, max(id) as newest, sum(balance) as balance from ${accounts} group by owner`,
  sql`select o.id as owner, o.name, a.balance
      from ${owners} o left join (select owner, sum(balance) as balance from ${accounts} group by owner) a on a.owner = o.id`,
];

export const books = view("books", forms[Number(process.env.BOOKS_FORM)] ?? sql`select`, { key: "owner" });

/** Always the same: no build of the other one may hold it up. */
export const total = view("total", sql`select count(*) as n, sum(balance) as balance from ${accounts}`);

/** Recomputed whole, and killed in that as well. */
export const places = view(
  "places",
  sql`select owner, sum(balance) as balance, rank() over (order by sum(balance) desc, owner) as place
      from ${accounts} group by owner`,
  { key: "owner", refresh: "1s" },
);
