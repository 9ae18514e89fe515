/** A captured table in Avro, for clients of registries, and for the guide. */
import { postgres, sql, view } from "millrace";

export const shop = postgres("shop", { url: process.env.SHOP_URL ?? "", tables: ["orders"], encoding: "avro" });

export const byStatus = view(
  "by_status",
  sql`select status, count(*) as n, sum(total) as total from ${shop.orders} group by status`,
);
