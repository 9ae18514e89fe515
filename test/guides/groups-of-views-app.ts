import { group, postgres, sql, topic, view } from "millrace";

export const shop = postgres("shop", {
  url: process.env.SHOP_URL ?? "postgres://shop@127.0.0.1/shop",
  tables: ["orders"],
});

export const reports = group("reports", { store: process.env.REPORTS_DB });

export const orders = view("orders", sql`select id, customer, amount from ${shop.orders}`);

const customerSums = topic("customer-sums", {
  schema: { type: "object", properties: { customer: { type: "string" }, total: { type: "string" } } },
});

export const sums = view("sums", sql`select customer, sum(amount) as total from ${shop.orders} group by customer`, {
  group: reports,
  publish: customerSums,
});

// In group main again: what the other group has found out, by its topic.
export const goodCustomers = view(
  "good_customers",
  sql`select customer, total from topics."customer-sums" where total::bigint > 100`,
);
