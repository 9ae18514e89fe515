import assert from "node:assert/strict";
import { test } from "node:test";
import { MetricsRegistry } from "./metrics.ts";

test("counters and gauges are printed with their help, type and labels", () => {
  const metrics = new MetricsRegistry();
  const requests = metrics.counter("millrace_http_requests_total", "Requests.");
  requests.add(1, { route: "/v1/topics", method: "GET" });
  requests.add(2, { method: "GET", route: "/v1/topics" });
  metrics.gauge("millrace_open", "Open\nnow.").set(3);
  assert.equal(
    metrics.render(),
    [
      "# HELP millrace_http_requests_total Requests.",
      "# TYPE millrace_http_requests_total counter",
      'millrace_http_requests_total{method="GET",route="/v1/topics"} 3',
      "# HELP millrace_open Open\\nnow.",
      "# TYPE millrace_open gauge",
      "millrace_open 3",
      "",
    ].join("\n"),
  );
});

test("a histogram's buckets are cumulative and end with +Inf", () => {
  const metrics = new MetricsRegistry();
  const seconds = metrics.histogram("millrace_seconds", "How long.", [0.1, 1]);
  for (const value of [0.05, 0.1, 0.5, 7]) seconds.observe(value, { route: "a" });
  assert.deepEqual(metrics.render().split("\n").slice(2, -1), [
    'millrace_seconds_bucket{route="a",le="0.1"} 2',
    'millrace_seconds_bucket{route="a",le="1"} 3',
    'millrace_seconds_bucket{route="a",le="+Inf"} 4',
    'millrace_seconds_sum{route="a"} 7.65',
    'millrace_seconds_count{route="a"} 4',
  ]);
});

test("a series counts as its labels do", () => {
  const metrics = new MetricsRegistry();
  const requests = metrics.counter("millrace_requests_total", "Requests.");
  const series = requests.series({ b: "2", a: "1" });
  series.add();
  series.add(3);
  requests.add(1, { a: "1", b: "2" });
  metrics.histogram("millrace_seconds", "How long.", [1]).series({ a: "1" }).observe(0.5);
  assert.match(metrics.render(), /millrace_requests_total\{a="1",b="2"\} 5\n/);
  assert.match(metrics.render(), /millrace_seconds_bucket\{a="1",le="1"\} 1\n/);
});

test("quotes, backslashes and line breaks in labels are escaped", () => {
  const metrics = new MetricsRegistry();
  metrics.gauge("millrace_odd", "Odd.").set(1, { name: 'a"b\\c\nd' });
  assert.match(metrics.render(), /millrace_odd\{name="a\\"b\\\\c\\nd"\} 1/);
});

test("collectors are read at each scrape, and one that throws leaves only itself out", () => {
  const metrics = new MetricsRegistry();
  let lag = 5;
  metrics.collect("gauge", "millrace_broken", "Broken.", () => {
    throw new Error("the source is gone");
  });
  metrics.collect("gauge", "millrace_lag", "Lag.", () => [{ labels: { source: "shop" }, value: lag }, { value: null }]);
  assert.match(metrics.render(), /millrace_lag\{source="shop"\} 5\n$/);
  lag = 6;
  assert.match(metrics.render(), /millrace_lag\{source="shop"\} 6\n$/);
  assert.doesNotMatch(metrics.render(), /broken/);
});

test("label sets past the bound are counted, not kept", () => {
  const metrics = new MetricsRegistry();
  const counter = metrics.counter("millrace_many_total", "Many.");
  for (let i = 0; i < 2_010; i++) counter.add(1, { id: String(i) });
  const text = metrics.render();
  assert.equal(text.match(/millrace_many_total\{/g)?.length, 2_000);
  assert.match(text, /millrace_metrics_dropped_total 10\n/);
});

test("the same name answers the same metric, and another kind under it is a bug", () => {
  const metrics = new MetricsRegistry();
  metrics.counter("millrace_a_total", "A.").add();
  metrics.counter("millrace_a_total", "A.").add();
  assert.match(metrics.render(), /millrace_a_total 2/);
  assert.throws(() => metrics.gauge("millrace_a_total", "A."), /another thing/);
});
