import assert from "node:assert/strict";
import { test } from "node:test";
import type { Views } from "../views/view-info.ts";
import { ask, hasCode, openTestDoor, partial } from "./door-fixture.ts";
import { isLoopbackHost, openGuard } from "./guard.ts";

const views = partial<Views>("views", { list: () => [] });

async function code(
  door: Awaited<ReturnType<typeof openTestDoor>>,
  headers: Record<string, string>,
  path = "/v1/views",
) {
  const answer = await ask(door, path, { headers });
  return answer.status === 200 ? 200 : (answer.json() as { code: string }).code;
}

test("a foreign host name is refused, so that no page can reach this door through its own DNS", async () => {
  await using door = await openTestDoor({ views, settings: { origins: ["https://shop.example"] } });
  for (const host of [
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example:4400",
    "192.0.2.1",
    "@localhost",
    "a/b",
  ]) {
    assert.equal(await code(door, { host }), "REQUEST_FORBIDDEN", host);
  }
  for (const host of [`127.0.0.1:${door.port}`, "localhost", "app.localhost:80", "[::1]:4400", "shop.example"]) {
    assert.equal(await code(door, { host }), 200, host);
  }
});

test("a page of another origin gets 403, whatever it asks for", async () => {
  await using door = await openTestDoor({ views });
  for (const origin of [
    "https://evil.example",
    "null",
    "http://localhost.evil.example",
    "file://",
    "http://127.0.0.1@evil.example",
  ]) {
    assert.equal(await code(door, { origin }), "REQUEST_FORBIDDEN", origin);
  }
  const write = await ask(door, "/v1/topics/clicks", {
    method: "POST",
    headers: { origin: "https://evil.example", "content-type": "application/json" },
    body: '{"value":1}',
  });
  assert.equal(write.status, 403);
  assert.equal(write.headers["access-control-allow-origin"], undefined);
});

test("an image or a script of another site gets 403; a link to the door works", async () => {
  await using door = await openTestDoor({ views });
  assert.equal(await code(door, { "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors" }), "REQUEST_FORBIDDEN");
  const link = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" };
  assert.equal(await code(door, link), 200);
  assert.equal(await code(door, { ...link, "sec-fetch-dest": "iframe" }), "REQUEST_FORBIDDEN");
  assert.equal(await code(door, { "sec-fetch-site": "same-origin" }), 200);
  assert.equal(await code(door, { "sec-fetch-site": "none" }), 200);
  const form = await ask(door, "/v1/query", {
    method: "POST",
    headers: { ...link, "content-type": "text/plain" },
    body: "{}",
  });
  assert.equal(form.status, 403);
});

test("pages of loopback and of allowed origins are answered with the headers that a browser needs", async () => {
  await using door = await openTestDoor({ views, settings: { origins: ["https://shop.example"] } });
  for (const origin of ["https://shop.example", "http://localhost:3000", `http://127.0.0.1:${door.port}`]) {
    const answer = await ask(door, "/v1/views", { headers: { origin } });
    assert.equal(answer.status, 200, origin);
    assert.equal(answer.headers["access-control-allow-origin"], origin);
    assert.match(String(answer.headers["access-control-expose-headers"]), /Millrace-Token/);
    assert.match(String(answer.headers.vary), /Origin/);
  }
  const problem = await ask(door, "/v1/nothing", { headers: { origin: "https://shop.example" } });
  assert.equal(problem.headers["access-control-allow-origin"], "https://shop.example");
  const preflight = await ask(door, "/v1/topics/clicks", {
    method: "OPTIONS",
    headers: {
      origin: "https://shop.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": "content-type,authorization",
      "access-control-request-private-network": "true",
    },
  });
  assert.equal(preflight.status, 204);
  assert.match(String(preflight.headers["access-control-allow-methods"]), /POST/);
  assert.match(String(preflight.headers["access-control-allow-headers"]), /Authorization.*Content-Type/);
  assert.equal(preflight.headers["access-control-allow-private-network"], "true");
});

test("a page may send every header that a request can have, and read those of the answers", async () => {
  await using door = await openTestDoor();
  const { paths } = (await ask(door, "/openapi.json")).json() as {
    paths: Record<string, Record<string, { parameters?: readonly { in: string; name: string }[] }>>;
  };
  const operations = Object.values(paths).flatMap((path) => Object.values(path));
  const headers = operations.flatMap(({ parameters = [] }) => parameters.filter((one) => one.in === "header"));
  const origin = "http://localhost:3000";
  const preflight = await ask(door, "/v1/topics/t", {
    method: "OPTIONS",
    headers: { origin, "access-control-request-method": "POST" },
  });
  const allowed = String(preflight.headers["access-control-allow-headers"]).split(", ");
  for (const { name } of headers) assert.ok(allowed.includes(name), `${name} is not allowed`);
  assert.match(String(preflight.headers["access-control-expose-headers"]), /Content-Range, ETag, Idempotent-Replayed/);
});

test("with a key, everything but health, readiness and the interface's description needs it", async () => {
  await using door = await openTestDoor({ views, settings: { key: "correct horse".replace(" ", "-") } });
  for (const path of ["/v1/views", "/metrics", "/v1/topics/clicks/live"]) {
    const answer = await ask(door, path);
    assert.equal(answer.status, 401, path);
    assert.equal(answer.headers["www-authenticate"], 'Bearer realm="millrace"');
    assert.equal((answer.json() as { code: string }).code, "REQUEST_UNAUTHENTICATED");
  }
  assert.equal(await code(door, { authorization: "Bearer correct-horse" }), 200);
  assert.equal(await code(door, { authorization: "bearer correct-horse" }), 200);
  for (const authorization of ["Bearer correct-hors", "Bearer correct-horse2", "Basic correct-horse", "Bearer", ""]) {
    assert.equal(await code(door, { authorization }), "REQUEST_UNAUTHENTICATED", authorization);
  }
  for (const path of ["/healthz", "/readyz", "/openapi.json"]) assert.equal((await ask(door, path)).status, 200, path);
});

test("listening beyond loopback needs a key, and then any host name is served", async () => {
  assert.throws(() => openGuard({ host: "0.0.0.0", key: null, origins: [] }), hasCode("KEY_REQUIRED"));
  assert.throws(() => openGuard({ host: "::", key: null, origins: [] }), hasCode("KEY_REQUIRED"));
  const guard = openGuard({ host: "0.0.0.0", key: "k", origins: [] });
  assert.deepEqual(guard.admit("GET", { host: "millrace.example" }), {});
  assert.throws(() => guard.admit("GET", { host: "a", "sec-fetch-site": "same-site" }), hasCode("REQUEST_FORBIDDEN"));
  assert.ok(guard.admit("POST", { host: "a.example", origin: "https://a.example" }));
});

test("an allowed origin that is none is refused at the start", () => {
  for (const origin of ["shop.example", "https://shop.example/path", "*", "ftp://shop.example", ""]) {
    assert.throws(
      () => openGuard({ host: "localhost", key: null, origins: [origin] }),
      hasCode("SETTING_INVALID"),
      origin,
    );
  }
});

test("loopback is 127.0.0.0/8, ::1 and localhost with the names below it", () => {
  for (const host of ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "LOCALHOST", "a.localhost"]) {
    assert.ok(isLoopbackHost(host), host);
  }
  for (const host of ["", "0.0.0.0", "::", "127.evil.example", "1270.0.0.1", "localhost.example", "10.0.0.1"]) {
    assert.ok(!isLoopbackHost(host), host);
  }
});
