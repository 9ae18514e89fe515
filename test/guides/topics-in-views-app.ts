/** The code of docs/guide/topics-in-views.md; `topics-in-views.test.ts` runs it and its requests. */
import { postgres, sql, stripeSignature, topic, view, webhook } from "millrace";

export const payments = topic("payments", {
  schema: {
    type: "object",
    properties: {
      customer: { type: "integer" },
      amount: { type: "number" },
      currency: { type: "string" },
      paid_at: { type: "string", format: "date-time" },
    },
    required: ["customer", "amount", "currency"],
  },
});

export const revenue = view(
  "revenue",
  sql`
    select currency, count(*) as payments, sum(amount) as total from ${payments} group by currency`,
);

export const shop = postgres("shop", {
  url: process.env.SHOP_URL ?? "postgres://shop@127.0.0.1/shop",
  tables: ["customers"],
});

export const receipts = view(
  "receipts",
  sql`
    select p._partition, p._offset, p.paid_at, p.amount, c.name
    from ${payments} p
    join ${shop.customers} c on c.id = p.customer`,
);

export const rates = topic("rates", {
  schema: { type: "object", properties: { euro: { type: "number" } } },
  cleanup: "compact",
});

export const inEuro = view(
  "in_euro",
  sql`
    select p.currency, sum(p.amount * r.euro) as euro
    from ${payments} p
    join ${rates} r on r._key = p.currency
    group by p.currency`,
);

export const stripe = webhook("stripe", {
  verify: stripeSignature(process.env.STRIPE_WEBHOOK_SECRET ?? "whsec_unset"),
  type: (event) => event.type,
});

export const refunds = view(
  "refunds",
  sql`
    select _partition, _offset, _value #>> '{data,object,id}' as charge,
      case jsonb_typeof(_value #> '{data,object,amount}') when 'number' then (_value #> '{data,object,amount}')::numeric end as cents
    from ${stripe}
    where _headers ->> 'millrace.type' = 'charge.refunded'`,
  { history: "store" },
);

export const unreadable = view(
  "unreadable",
  sql`
    select _partition, _offset, _time, _problem from topics.payments where _problem is not null`,
);
