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

test("a path has the route of a naive search: its segments one by one, literals first", () => {
  const paths = ["/a", "/a/b", "/a/{x}", "/{x}/b", "/a/{x}/c", "/a/b/{y}/c", "/{x}/{y}/{z}", "/{x}/b/c", "/ab/{x}"];
  const known = new Router(paths.map((path) => route("GET", path)));
  const naive = (segments: readonly string[]) =>
    paths
      .map((path) => path.slice(1).split("/"))
      .filter(
        (parts) =>
          parts.length === segments.length &&
          parts.every((part, i) => (part.startsWith("{") ? segments[i] !== "" : part === segments[i])),
      )
      // At the first segment where two of them differ, the literal one.
      .sort((one, other) => {
        const at = one.findIndex((part, i) => part.startsWith("{") !== other[i]?.startsWith("{"));
        return at < 0 ? 0 : one[at]?.startsWith("{") ? 1 : -1;
      })[0];
  const segment = fc.constantFrom("a", "b", "c", "ab", "", "d");
  fc.assert(
    fc.property(fc.array(segment, { minLength: 1, maxLength: 5 }), (segments) => {
      const wanted = naive(segments);
      const path = `/${segments.join("/")}`;
      if (!wanted) {
        assert.throws(() => known.match("GET", path), hasCode("ROUTE_UNKNOWN"));
        return;
      }
      const match = known.match("GET", path);
      assert.equal(match.route.path, `/${wanted.join("/")}`);
      const values = wanted.flatMap((part, i) => (part.startsWith("{") ? [[part.slice(1, -1), segments[i]]] : []));
      assert.deepEqual(match.segments, Object.fromEntries(values));
    }),
    { numRuns: 500 },
  );
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
