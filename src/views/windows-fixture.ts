/** For tests of windows that end: a topic of clicks with a watermark, views by the minute over it, and a clock that jumps. */
import { type Clock, systemClock } from "../base/clock.ts";
import { lateView } from "../catalog/define/window-option.ts";
import { sql, topic, type ViewDefinition, type ViewOptions, view } from "../catalog/definitions.ts";
import { appendRecords } from "../engine/records.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { Group } from "./group.ts";
import type { ViewsFixture } from "./group-fixture.ts";
import { tableOf } from "./topics-fixture.ts";

const schema = {
  type: "object",
  properties: { n: { type: "integer" }, at: { type: "string", format: "date-time" } },
} as const;

export const minuteEnd = "date_bin('1 minute', at, '2000-01-01') + interval '1 minute'";
export const perMinute = `select ${minuteEnd} as ends, count(*) as c from topics.clicks group by 1`;

/** With ten seconds of lateness. */
export function clicks(partitions: number, idle?: string, name = "clicks"): TableShape {
  const watermark = { time: "at", lateness: "10s", ...(idle === undefined ? {} : { idle }) };
  return tableOf(topic(name, { schema, partitions, watermark }));
}

/** The view and that of its late events. */
export function windowed(query = perMinute, options: ViewOptions = {}, name = "per_minute"): ViewDefinition[] {
  const strings = Object.assign([query], { raw: [query] });
  const defined = view(name, sql(strings), { window: { ends: "ends" }, emit: "final", ...options });
  return [defined, ...lateView(defined)];
}

/** `at` is minutes and seconds of an hour that is over. */
export function click(fixture: ViewsFixture, partition: number, at: string | null, watermark?: string, to = "clicks") {
  const value = at === null ? null : Buffer.from(JSON.stringify({ n: 1, at: `2025-03-01T10:${at}Z` }));
  const headers = watermark === undefined ? [] : [{ key: "millrace-watermark", value: Buffer.from(watermark) }];
  return appendRecords(fixture.engine, to, [{ partition, key: null, value, headers }]);
}

/** The machine's, whose spans are as long as a test says. */
export class SkewedClock implements Clock {
  skewMs = 0;
  readonly now = systemClock.now;
  readonly after = systemClock.after;
  readonly sleep = systemClock.sleep;
  readonly monotonicMs = () => systemClock.monotonicMs() + this.skewMs;
}

/** Looks again whenever the group has changed. */
export async function untilRows(fixture: ViewsFixture, group: Group, query: string, wanted: readonly string[]) {
  for (;;) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const stop = group.onChange(resolve);
    const rows = await fixture.rows(query);
    if (JSON.stringify(rows) === JSON.stringify(wanted)) return stop();
    await promise;
    stop();
  }
}
