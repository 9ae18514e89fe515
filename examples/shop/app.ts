import { postgres, sql, view } from "millrace";

export const shop = postgres("shop", {
  url: process.env.SHOP_URL ?? "",
  tables: ["customers", "products", "orders", "order_lines"],
});

// One card per order: a join of three tables and a sum, as fresh as the last commit.
export const orderCards = view(
  "order_cards",
  sql`
    select o.id, c.name as customer, o.status, o.placed_at, count(*) as lines, sum(l.quantity * l.price) as total
    from ${shop.orders} o
    join ${shop.customers} c on c.id = o.customer_id
    join ${shop.order_lines} l on l.order_id = o.id
    group by o.id, c.name, o.status, o.placed_at`,
  { key: "id" },
);

// What sells, and for how much.
export const categorySales = view(
  "category_sales",
  sql`
    select p.category, count(*) as lines, sum(l.quantity) as pieces, sum(l.quantity * l.price) as revenue
    from ${shop.order_lines} l
    join ${shop.products} p on p.id = l.product_id
    group by p.category`,
  { key: "category" },
);

// What still has to leave the house.
export const toShip = view(
  "to_ship",
  sql`
    select o.id, c.name as customer, c.city, o.status, o.placed_at
    from ${shop.orders} o
    join ${shop.customers} c on c.id = o.customer_id
    where o.status in ('paid', 'packed')`,
  { key: "id" },
);
