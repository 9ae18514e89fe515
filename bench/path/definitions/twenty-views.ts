/** What `path/commit-to-reader` runs beside `app.ts`: the view that is followed, and 19 others over the same table. */
import { postgres, sql, view } from "millrace";

export const clock = postgres("clock", {
  url: process.env.CLOCK_URL ?? "postgres://127.0.0.1/clock",
  tables: ["ticks"],
});

export const latest = view("latest", sql`select id, sent from ${clock.ticks}`, { key: "id" });

export const tens = view("tens", sql`select id, sent from ${clock.ticks} where id % 10 = 0`);
export const odd = view("odd", sql`select id, sent, area from ${clock.ticks} where id % 2 = 1`);
export const low = view("low", sql`select id, sent * 2 as twice from ${clock.ticks} where id < 100`);
export const high = view("high", sql`select id, sent::text as text from ${clock.ticks} where id > 900`);
export const area1 = view("area1", sql`select id, sent from ${clock.ticks} where area = 1`);
export const area2 = view("area2", sql`select id, sent from ${clock.ticks} where area = 2`);
export const area3 = view("area3", sql`select id, sent from ${clock.ticks} where area = 3`);
export const never = view("never", sql`select id, sent from ${clock.ticks} where sent < 0`);

export const areas = view(
  "areas",
  sql`select area, count(*) as n, sum(sent::bigint) as s from ${clock.ticks} group by area`,
);
export const hundreds = view(
  "hundreds",
  sql`select id / 100 as hundred, count(*) as n from ${clock.ticks} where sent > 1 group by id / 100`,
);
export const total = view(
  "total",
  sql`select count(*) as n, sum(id) as ids, sum(sent::bigint) as s from ${clock.ticks}`,
);
export const parity = view(
  "parity",
  sql`select id % 2 as odd, sum(sent::bigint) as s from ${clock.ticks} group by id % 2`,
);
export const seconds = view(
  "seconds",
  sql`select (sent / 1000)::bigint % 60 as second, count(*) as n from ${clock.ticks} group by 1`,
);
export const pairs = view(
  "pairs",
  sql`select a.id, a.sent, b.sent as first from ${clock.ticks} a join ${clock.ticks} b on b.id = a.area`,
);

export const newest = view("newest", sql`select area, max(sent) as sent from ${clock.ticks} group by area`);
export const oldest = view("oldest", sql`select area, min(sent) as sent from ${clock.ticks} group by area`);
export const top3 = view(
  "top3",
  sql`
  select area, rank, id, sent
  from (select id, sent, area, row_number() over (partition by area order by sent desc, id) as rank from ${clock.ticks}) ranked
  where rank <= 3`,
);
export const firsts = view(
  "firsts",
  sql`select distinct on (area) area, id, sent from ${clock.ticks} order by area, sent desc, id`,
);
export const next = view(
  "next",
  sql`select a.id, b.sent from ${clock.ticks} a left join ${clock.ticks} b on b.id = a.area`,
);
