import { postgres, sql, view } from "millrace";

export const shop = postgres("shop", {
  url: process.env.SHOP_URL ?? "postgres://shop@127.0.0.1/shop",
  tables: ["orders"],
});

export const ordersOf = view("orders_of", sql`select id, customer_id, region, total from ${shop.orders}`, {
  key: "id",
  index: ["customer_id"],
  policy: "customer_id = claim('sub') or region = any(claims('realm_access.regions'))",
});

// Sums that tell nothing of a customer: its author says that everybody may see them.
export const totals = view(
  "totals",
  sql`select region, count(*) as orders, sum(total) as total from ${ordersOf} group by region`,
  { key: "region", policy: null },
);
