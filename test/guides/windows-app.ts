import { sql, topic, view } from "millrace";

export const orders = topic("orders", {
  schema: {
    type: "object",
    properties: {
      id: { type: "string" },
      customer: { type: "string" },
      amount: { type: "number" },
      at: { type: "string", format: "date-time" },
    },
    required: ["id", "customer", "amount", "at"],
  },
});

export const payments = topic("payments", {
  schema: {
    type: "object",
    properties: { order: { type: "string" }, at: { type: "string", format: "date-time" } },
    required: ["order", "at"],
  },
});

export const perMinute = view(
  "per_minute",
  sql`
    select date_bin('1 minute', at, '2000-01-01') as minute, count(*) as orders, sum(amount) as amount
    from ${orders} group by 1`,
);

export const lastFive = view(
  "last_five",
  sql`
    select w as ends, count(*) as orders
    from ${orders} o
    cross join lateral generate_series(
      date_bin('1 minute', o.at, '2000-01-01') + interval '1 minute',
      date_bin('1 minute', o.at, '2000-01-01') + interval '5 minutes',
      interval '1 minute') w
    group by w`,
);

export const upToTen = view(
  "up_to_ten",
  sql`
    select _partition, _offset, id, customer,
      sum(amount) over (partition by customer order by at range between interval '10 minutes' preceding and current row) as amount
    from ${orders}`,
);

export const visits = view(
  "visits",
  sql`
    select customer, min(at) as began, max(at) as ended, count(*) as orders
    from (
      select *, sum(begins) over (partition by customer order by at, _offset) as visit
      from (
        select customer, at, _offset,
          case when at - lag(at) over (partition by customer order by at, _offset) <= interval '30 minutes' then 0 else 1 end as begins
        from ${orders}
      ) marked
    ) numbered
    group by customer, visit`,
);

export const paid = view(
  "paid",
  sql`
    select o._partition, o._offset, o.id, min(p.at) as paid_at
    from ${orders} o
    join ${payments} p on p.order = o.id and p.at between o.at and o.at + interval '1 hour'
    group by 1, 2, 3`,
);

export const overdue = view(
  "overdue",
  sql`
    select o._partition, o._offset, o.id, o.customer
    from ${orders} o
    where o.at < now() - interval '1 hour'
      and not exists (select from ${payments} p where p.order = o.id)`,
);

export const clicks = topic("clicks", {
  schema: {
    type: "object",
    properties: {
      visitor: { type: "string" },
      page: { type: "string" },
      at: { type: "string", format: "date-time" },
    },
    required: ["visitor", "page", "at"],
  },
  watermark: { time: "at", lateness: "30s" },
});

export const clicksPerMinute = view(
  "clicks_per_minute",
  sql`
    select date_bin('1 minute', at, '2000-01-01') + interval '1 minute' as ends, count(*) as clicks
    from ${clicks} group by 1`,
  { window: { ends: "ends" }, emit: "final" },
);

export const clicksSoFar = view(
  "clicks_so_far",
  sql`
    select date_bin('1 minute', at, '2000-01-01') + interval '1 minute' as ends, page, count(*) as clicks
    from ${clicks} group by 1, 2`,
  { window: { ends: "ends", grace: "2m" } },
);

export const clicksLastThree = view(
  "clicks_last_three",
  sql`
    select w as ends, count(*) as clicks
    from ${clicks} c
    cross join lateral generate_series(
      date_bin('1 minute', c.at, '2000-01-01') + interval '1 minute',
      date_bin('1 minute', c.at, '2000-01-01') + interval '3 minutes',
      interval '1 minute') w
    group by w`,
  { window: { ends: "ends" }, emit: "final" },
);

export const stays = view(
  "stays",
  sql`
    select visitor, _begins as began, _ends as ends, count(*) as clicks
    from ${clicks} group by visitor, _begins, _ends`,
  { window: { ends: "ends", session: { gap: "1m", by: "visitor" } }, emit: "final" },
);
