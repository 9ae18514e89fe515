/** The code of docs/guide/time-series.md; `time-series.test.ts` runs it and its requests. */
import { postgres, sql, view } from "millrace";

export const house = postgres("house", {
  url: process.env.HOUSE_URL ?? "postgres://house@127.0.0.1/house",
  tables: ["readings"],
});

export const readings = view("readings", sql`select id, sensor, at, degrees from ${house.readings}`, {
  series: { time: "at", by: ["sensor"] },
});

export const minutes = view(
  "minutes",
  sql`
    select sensor, date_trunc('minute', at) as minute, count(*) as n, sum(degrees) as total
    from ${house.readings}
    where at >= date_trunc('hour', now()) - interval '2 hours'
    group by sensor, minute`,
  { series: { time: "minute", by: ["sensor"] } },
);

export const hours = view(
  "hours",
  sql`
    select sensor, date_trunc('hour', at) as hour, count(*) as n, sum(degrees) as total
    from ${house.readings}
    where at >= date_trunc('day', now()) - interval '90 days'
    group by sensor, hour`,
  { series: { time: "hour", by: ["sensor"] } },
);

export const days = view(
  "days",
  sql`
    select sensor, date_trunc('day', at) as day, count(*) as n, sum(degrees) as total
    from ${house.readings}
    group by sensor, day`,
  { series: { time: "day", by: ["sensor"] } },
);
