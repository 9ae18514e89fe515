import { postgres, sql, view } from "millrace";

const url = "postgres://nobody@127.0.0.1:1/nothing";
export const good = postgres("good", { url, tables: ["items"] });
export const one = view("twin", sql`select id from ${good.items}`, { key: "id" });
export const two = view("twin", sql`select id from ${good.items}`, { key: "id" });
