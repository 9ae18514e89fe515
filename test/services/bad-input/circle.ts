import { postgres, sql, view } from "millrace";

const url = "postgres://nobody@127.0.0.1:1/nothing";
export const good = postgres("good", { url, tables: ["items"] });
export const hen = view("hen", sql`select id from views.egg`, { key: "id" });
export const egg = view("egg", sql`select id from views.hen`, { key: "id" });
