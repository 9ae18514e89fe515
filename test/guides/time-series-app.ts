/** The code of docs/guide/time-series.md; `time-series.test.ts` runs it and its requests. */
import { postgres, sql, view } from "millrace";

export const house = postgres("house", {
  url: process.env.HOUSE_URL ?? "postgres://house@127.0.0.1/house",
  tables: ["readings"],
});

export const readings = view("readings", sql`select id, sensor, at, degrees from ${house.readings}`, {
  series: { time: "at", by: ["sensor"] },
});
