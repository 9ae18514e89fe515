import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MillraceError } from "../base/errors.ts";
import { hasCode } from "./door-fixture.ts";
import { nearest } from "./nearest.ts";
import { empty, type Method, type Route } from "./route.ts";
import { Router } from "./router.ts";

function route(method: Method, path: string): Route {
  return {
    method,
    path,
    operation: `${method} ${path}`,
    about: "",
    access: "open",
    parameters: [],
    answers: {},
    errors: [],
    handle: () => empty(204),
  };
}

const router = new Router([
  route("GET", "/v1/views/{view}/{key}"),
  route("GET", "/v1/views/{view}/live"),
  route("GET", "/v1/views/{view}"),
  route("PUT", "/v1/topics/{topic}"),
]);

test("a literal wins over a parameter, and segments stay as they were sent", () => {
  assert.equal(router.match("GET", "/v1/views/cards/live").route.path, "/v1/views/{view}/live");
  const match = router.match("HEAD", "/v1/views/a%2Fb/1%2C2,3");
  assert.equal(match.route.path, "/v1/views/{view}/{key}");
  assert.deepEqual(match.segments, { view: "a%2Fb", key: "1%2C2,3" });
});

test("an empty segment is no name", () => {
  for (const path of ["/v1/views/", "/v1/views//live", "//v1/views/a", "/v1/views/a/b/", "/", ""]) {
    assert.throws(() => router.match("GET", path), hasCode("ROUTE_UNKNOWN"), path);
  }
});

test("any method and path is a route, ROUTE_UNKNOWN or METHOD_NOT_ALLOWED", () => {
  const segment = fc.oneof(fc.constantFrom("v1", "views", "topics", "live", "", "..", "%"), fc.string());
  fc.assert(
    fc.property(
      fc.constantFrom("GET", "PUT", "DELETE", "BREW"),
      fc.array(segment, { maxLength: 6 }),
      (method, segments) => {
        try {
          router.match(method, `/${segments.join("/")}`);
        } catch (error) {
          const known = MillraceError.is(error, "ROUTE_UNKNOWN") || MillraceError.is(error, "METHOD_NOT_ALLOWED");
          if (!known) throw error;
        }
      },
    ),
  );
});

test("the nearest name is told when it is near, and none when it is not", () => {
  assert.equal(nearest("ordr_cards", ["orders", "order_cards", "cards"]), "order_cards");
  assert.equal(nearest("stats", ["status", "state"]), "status");
  assert.equal(nearest("abc", ["xyz", "something"]), undefined);
  assert.equal(nearest("a", []), undefined);
});
