/** One source that works, one that nobody answers for, and views of every fate. */
import { postgres, sql, view } from "millrace";

export const good = postgres("good", { url: process.env.GOOD_URL ?? "", tables: ["items"] });
export const away = postgres("away", { url: process.env.AWAY_URL ?? "", tables: ["things"] });

export const right = view("right_view", sql`select id, name from ${good.items}`, { key: "id" });
export const waiting = view("waiting_view", sql`select id from ${away.things}`, { key: "id" });
export const unknownColumn = view("unknown_column", sql`select id, nane from ${good.items}`, { key: "id" });
export const notSql = view("not_sql", sql`select from where ${good.items}`);
export const untraceable = view("untraceable", sql`select id, rank() over (order by name) as place from ${good.items}`);
export const failing = view("failing_view", sql`select id, name::int as n from ${good.items}`, { key: "id" });
