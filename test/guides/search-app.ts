/** The code of docs/guide/search.md; `search.test.ts` runs it and its requests. */
import { postgres, sql, view } from "millrace";

export const town = postgres("town", {
  url: process.env.TOWN_URL ?? "postgres://town@127.0.0.1/town",
  tables: ["shops", "articles"],
});

export const articles = view("articles", sql`select id, title, body, published_at from ${town.articles}`, {
  search: {
    columns: ["title", { column: "body", weight: "C" }],
    language: "english",
    synonyms: [["grain", "flour", "corn"]],
  },
});

export const shops = view("shops", sql`select id, name, owner, lat, lon from ${town.shops}`, {
  search: ["name", "owner"],
  fuzzy: ["owner"],
  geo: { lat: "lat", lon: "lon" },
});
