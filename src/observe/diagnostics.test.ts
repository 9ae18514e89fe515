import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { openDiagnostics, parseDiagnosticsLevel } from "./diagnostics.ts";

function captured(options: { pretty?: boolean; level?: "debug" | "info" | "silent" } = {}) {
  const destination = new PassThrough();
  const diagnostics = openDiagnostics({
    level: options.level ?? "info",
    pretty: options.pretty ?? false,
    colours: false,
    destination,
  });
  return { diagnostics, text: () => String(destination.read() ?? "") };
}

test("each line is one JSON object with its level, time, message and fields", () => {
  const { diagnostics, text } = captured();
  diagnostics.child({ source: "shop" }).warn("the slot is in use", { retryMs: 500 });
  const line = JSON.parse(text());
  assert.equal(line.level, 40);
  assert.equal(line.msg, "the slot is in use");
  assert.equal(line.source, "shop");
  assert.equal(line.retryMs, 500);
  assert.ok(!Number.isNaN(Date.parse(line.time)));
});

test("lines below the level are not printed", () => {
  const { diagnostics, text } = captured();
  diagnostics.debug("quiet");
  assert.equal(text(), "");
});

test("passwords in urls, secret fields and bearers are never printed, wherever they stand", () => {
  const { diagnostics, text } = captured();
  const error = new MillraceError("SOURCE_UNREACHABLE", "postgres://shop:hunter2@db:5432/shop does not answer", {
    cause: new Error("connect to postgresql://shop:hunter2@db failed, header Bearer hunter2"),
  });
  diagnostics.error("cannot reach postgres://shop:hunter2@db/shop", {
    url: new URL("postgres://shop:hunter2@db/shop"),
    headers: { Authorization: "Bearer hunter2", cookie: "hunter2" },
    store: [{ password: "hunter2", port: 5432 }],
    query: "postgres://db/shop?user=a&password=hunter2",
    error,
  });
  const printed = text();
  assert.doesNotMatch(printed, /hunter2/);
  const line = JSON.parse(printed);
  assert.equal(line.store[0].port, 5432);
  assert.equal(line.error.code, "SOURCE_UNREACHABLE");
  assert.match(line.error.cause.message, /postgresql:\/\/shop:\[redacted\]@db failed/);
});

test("an error that nobody foresaw is printed with its stack, and a circle ends", () => {
  const { diagnostics, text } = captured();
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  diagnostics.error("failed", { error: new TypeError("oops"), circle });
  const line = JSON.parse(text());
  assert.match(line.error.stack, /diagnostics\.test\.ts/);
});

test("on a terminal the lines are for people", () => {
  const { diagnostics, text } = captured({ pretty: true });
  diagnostics.info("console at http://127.0.0.1:4400", { port: 4400 });
  const printed = text();
  assert.match(printed, /INFO.*console at http:\/\/127\.0\.0\.1:4400/);
  assert.match(printed, /port=4400/);
});

test("on a terminal what is to be copied stands on a line of its own, as it was written", () => {
  const { diagnostics, text } = captured({ pretty: true });
  const hint = 'Run: create publication "p" for table only "public"."orders";';
  diagnostics.warn("a source does not go on", { source: "shop", code: "SOURCE_NOT_PERMITTED", error: "no", hint });
  const [first, ...below] = text().trimEnd().split("\n");
  assert.match(first ?? "", /WARN: a source does not go on {2}source=shop$/);
  assert.deepEqual(below, ["    no", `    ${hint}`, "    SOURCE_NOT_PERMITTED"]);
});

test("on a terminal an error is told with its hint and its causes, each once", () => {
  const { diagnostics, text } = captured({ pretty: true });
  const error = new MillraceError("STORE_UNAVAILABLE", "the store is gone", {
    hint: "Start it.",
    details: { port: 1 },
    cause: new MillraceError("PORT_TAKEN", "port 1 is taken"),
  });
  diagnostics.error("a request failed", { error, path: "/v1/views" });
  assert.deepEqual(
    text()
      .trimEnd()
      .split("\n")
      .map((line) => line.trim().replace(/^\[.*?\] /, "")),
    [
      "ERROR: a request failed  path=/v1/views",
      "the store is gone",
      "port 1 is taken",
      "PORT_TAKEN",
      "Start it.",
      "STORE_UNAVAILABLE",
      'details={"port":1}',
    ],
  );
});

test("a level that does not exist is refused with the ones that do", () => {
  assert.equal(parseDiagnosticsLevel("warn"), "warn");
  assert.throws(
    () => parseDiagnosticsLevel("loud"),
    (error: unknown) => MillraceError.is(error, "SETTING_INVALID") && /debug, info/.test(error.hint ?? ""),
  );
});
