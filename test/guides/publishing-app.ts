import { postgres, sql, topic, view } from "millrace";

export const shop = postgres("shop", {
  url: process.env.SHOP_URL ?? "postgres://shop@127.0.0.1/shop",
  tables: ["orders", "order_lines"],
});

export const orderCards = view(
  "order_cards",
  sql`
    select o.id, o.status, sum(l.price) as total
    from ${shop.orders} o join ${shop.order_lines} l on l.order_id = o.id
    group by o.id, o.status`,
  { key: "id", publish: topic("order-cards", { partitions: 3 }) },
);
