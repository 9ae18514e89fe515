/** The code of docs/guide/trees.md; `trees.test.ts` runs it and its requests. */
import { postgres, sql, view } from "millrace";

export const shop = postgres("shop", {
  url: process.env.SHOP_URL ?? "postgres://shop@127.0.0.1/shop",
  tables: ["categories", "products"],
});

export const categories = view("categories", sql`select path, title from ${shop.categories}`, { tree: "path" });

export const products = view("products", sql`select id, name, category from ${shop.products}`, { tree: "category" });
