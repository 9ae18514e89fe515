import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { avro, openRegistry } from "../registry/registry.fixture.ts";
import { type Ask, ask, openTestDoor } from "./door-fixture.ts";

const type = "application/vnd.schemaregistry.v1+json";

async function openHouse(key: string | null = null) {
  const { registry, engine, [Symbol.asyncDispose]: closeRegistry } = await openRegistry();
  const door = await openTestDoor({ registry, engine, settings: { key } });
  const send = async (method: string, path: string, body?: unknown, headers: Ask["headers"] = {}) => {
    const answer = await ask(door, `/registry${path}`, {
      method,
      headers: { ...(body === undefined ? {} : { "content-type": type }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    assert.equal(answer.headers["content-type"], type, `${method} ${path}`);
    return { status: answer.status, text: answer.text, body: JSON.parse(answer.text) as never };
  };
  const get = async (path: string) => (await send("GET", path)).body as unknown;
  /** `[status, error_code]` */
  const refused = async (method: string, path: string, body?: unknown): Promise<[number, number]> => {
    const { status, body: problem } = await send(method, path, body);
    const { error_code: number, message } = problem as { error_code: number; message: string };
    assert.ok(message.length > 0);
    return [status, number];
  };
  const register = (subject: string, schema: object, query = "") =>
    send("POST", `/subjects/${encodeURIComponent(subject)}/versions${query}`, schema);
  const close = async () => {
    await door.close();
    await closeRegistry();
  };
  return { door, registry, send, get, refused, register, [Symbol.asyncDispose]: close };
}

const first = { schema: avro("id").text };
const second = { schema: avro("id", "name?").text };
const incompatible = { schema: avro("id", "other").text };

describe("the registry over HTTP", () => {
  test("registers, and tells a schema by its id, its version and itself", async () => {
    await using house = await openHouse();
    const { send, get, register } = house;
    assert.deepEqual((await register("orders-value", first)).body, { id: 1 });
    assert.deepEqual((await register("orders-value", first)).body, { id: 1 });
    assert.deepEqual((await register("orders-value", second)).body, { id: 2 });
    assert.deepEqual(await get("/subjects"), ["orders-value"]);
    assert.deepEqual(await get("/subjects/orders-value/versions"), [1, 2]);
    const version = { subject: "orders-value", version: 2, id: 2 };
    const latest = (await get("/subjects/orders-value/versions/latest")) as { schema: string };
    assert.deepEqual({ ...latest, schema: "" }, { ...version, schema: "" });
    assert.deepEqual(JSON.parse(latest.schema).fields.length, 2);
    assert.deepEqual(await get("/subjects/orders-value/versions/2"), latest);
    assert.deepEqual(await get("/subjects/orders-value/versions/-1"), latest);
    assert.equal((await send("GET", "/subjects/orders-value/versions/2/schema")).text, latest.schema);
    assert.deepEqual(await get("/schemas/ids/2"), { schema: latest.schema });
    assert.deepEqual(await get("/schemas/ids/2?fetchMaxId=true"), { schema: latest.schema, maxId: 2 });
    assert.equal((await send("GET", "/schemas/ids/2/schema")).text, latest.schema);
    assert.deepEqual(await get("/schemas/ids/2/subjects"), ["orders-value"]);
    assert.deepEqual(await get("/schemas/ids/2/versions"), [{ subject: "orders-value", version: 2 }]);
    assert.deepEqual((await send("POST", "/subjects/orders-value", second)).body, latest);
    assert.deepEqual((await get("/schemas")) as unknown[], [
      await get("/subjects/orders-value/versions/1"),
      await get("/subjects/orders-value/versions/2"),
    ]);
    assert.deepEqual(await get("/schemas?latestOnly=true&subjectPrefix=orders"), [latest]);
    assert.deepEqual(await get("/schemas/types"), ["JSON", "PROTOBUF", "AVRO"]);
    assert.deepEqual(await get("/contexts"), ["."]);
    assert.deepEqual(await get(""), {});
    assert.deepEqual(await get("/"), {});
  });

  test("names of subjects may be anything that a path can say", async () => {
    await using house = await openHouse();
    const { get, register, refused } = house;
    for (const name of ["a/b", "com.shop.Order value", "ö%", "käse?#"]) {
      await register(name, first);
      assert.deepEqual(await get(`/subjects/${encodeURIComponent(name)}/versions`), [1], name);
    }
    assert.deepEqual(await get("/subjects?subjectPrefix=a"), ["a/b"]);
    assert.deepEqual(await get("/subjects?subjectPrefix=:*:"), ["a/b", "com.shop.Order value", "käse?#", "ö%"]);
    assert.deepEqual(await get("/subjects?offset=1&limit=2"), ["com.shop.Order value", "käse?#"]);
    assert.deepEqual(await refused("POST", "/subjects/:.ctx:a/versions", first), [422, 42208]);
  });

  test("refuses with Confluent's numbers", async () => {
    await using house = await openHouse();
    const { refused, register } = house;
    assert.deepEqual(await refused("GET", "/subjects/none/versions"), [404, 40401]);
    assert.deepEqual(await refused("POST", "/subjects/none", first), [404, 40401]);
    assert.deepEqual(await refused("GET", "/schemas/ids/7"), [404, 40403]);
    assert.deepEqual(await refused("GET", "/schemas/ids/x"), [404, 40403]);
    assert.deepEqual(await refused("POST", "/subjects/a/versions", { schema: "{" }), [422, 42201]);
    assert.deepEqual(await refused("POST", "/subjects/a/versions", { schema: 5 }), [422, 42201]);
    assert.deepEqual(await refused("POST", "/subjects/a/versions", { ...first, schemaType: "XML" }), [422, 42201]);
    const rules = { ...first, ruleSet: { domainRules: [{ name: "x" }] } };
    assert.deepEqual(await refused("POST", "/subjects/a/versions", rules), [422, 42201]);
    await register("a", first);
    assert.deepEqual(await refused("POST", "/subjects/a/versions", incompatible), [409, 409]);
    assert.deepEqual(await refused("POST", "/subjects/a", second), [404, 40403]);
    assert.deepEqual(await refused("GET", "/subjects/a/versions/9"), [404, 40402]);
    for (const version of ["0", "x", "-2", "2147483648"]) {
      assert.deepEqual(await refused("GET", `/subjects/a/versions/${version}`), [422, 42202]);
    }
    assert.deepEqual(await refused("DELETE", "/subjects/a?permanent=true"), [404, 40405]);
    assert.deepEqual(await refused("DELETE", "/subjects/a/versions/1?permanent=true"), [404, 40407]);
    assert.deepEqual(await refused("GET", "/config/a"), [404, 40408]);
    assert.deepEqual(await refused("GET", "/mode/a"), [404, 40409]);
    assert.deepEqual(await refused("PUT", "/config/a", { compatibility: "SOME" }), [422, 42203]);
    assert.deepEqual(await refused("PUT", "/mode", { mode: "SOME" }), [422, 42204]);
    assert.deepEqual(await refused("POST", "/subjects/b/versions", { ...first, id: 5 }), [422, 42205]);
    assert.deepEqual(await refused("GET", "/nothing"), [404, 404]);
    assert.deepEqual(await refused("PATCH", "/subjects"), [405, 405]);
  });

  test("deletes softly, then for good", async () => {
    await using house = await openHouse();
    const { send, get, refused, register } = house;
    await register("a", first);
    await register("a", second);
    assert.equal((await send("DELETE", "/subjects/a/versions/1")).body, 1);
    assert.deepEqual(await refused("DELETE", "/subjects/a/versions/1"), [404, 40406]);
    assert.deepEqual(await get("/subjects/a/versions"), [2]);
    assert.deepEqual(await get("/subjects/a/versions?deleted=true"), [1, 2]);
    assert.deepEqual(await get("/subjects/a/versions?deletedOnly=true"), [1]);
    assert.deepEqual(await refused("GET", "/subjects/a/versions/1"), [404, 40402]);
    assert.equal(((await get("/subjects/a/versions/1?deleted=true")) as { id: number }).id, 1);
    assert.deepEqual((await send("DELETE", "/subjects/a")).body, [2]);
    assert.deepEqual(await refused("DELETE", "/subjects/a"), [404, 40404]);
    assert.deepEqual(await get("/subjects"), []);
    assert.deepEqual(await get("/subjects?deleted=true"), ["a"]);
    assert.deepEqual(await get("/schemas/ids/1/subjects"), []);
    assert.deepEqual(await get("/schemas/ids/1/subjects?deleted=true"), ["a"]);
    assert.deepEqual((await send("DELETE", "/subjects/a?permanent=true")).body, [1, 2]);
    assert.deepEqual(await refused("GET", "/schemas/ids/1"), [404, 40403]);
  });

  test("compatibility is set for all and for one, and asked without registering", async () => {
    await using house = await openHouse();
    const { send, get, register, refused } = house;
    await register("a", first);
    const check = async (schema: object, rest = "/versions?verbose=true") =>
      (await send("POST", `/compatibility/subjects/a${rest}`, schema)).body as {
        is_compatible: boolean;
        messages?: string[];
      };
    assert.deepEqual(await check(second, "/versions"), { is_compatible: true });
    const told = await check(incompatible);
    assert.equal(told.is_compatible, false);
    assert.match(told.messages?.[0] ?? "", /READER_FIELD_MISSING_DEFAULT_VALUE/);
    assert.equal((await check(incompatible, "/versions/latest")).is_compatible, false);
    assert.deepEqual(await get("/config"), { compatibilityLevel: "BACKWARD" });
    assert.deepEqual((await send("PUT", "/config/a", { compatibility: "none" })).body, { compatibility: "NONE" });
    assert.deepEqual(await get("/config/a"), { compatibilityLevel: "NONE" });
    assert.equal((await check(incompatible)).is_compatible, true);
    assert.deepEqual((await send("DELETE", "/config/a")).body, { compatibilityLevel: "NONE" });
    assert.deepEqual(await get("/config/a?defaultToGlobal=true"), { compatibilityLevel: "BACKWARD" });
    assert.deepEqual((await send("PUT", "/config", { compatibility: "FULL" })).body, { compatibility: "FULL" });
    assert.deepEqual(await get("/config/a?defaultToGlobal=true"), { compatibilityLevel: "FULL" });
    assert.deepEqual((await send("DELETE", "/config")).body, { compatibilityLevel: "FULL" });
    assert.deepEqual(await refused("DELETE", "/config/a"), [404, 40401]);
    assert.deepEqual(await check(first, "/versions"), { is_compatible: true });
    assert.deepEqual((await send("POST", "/compatibility/subjects/none/versions", first)).body as unknown, {
      is_compatible: true,
    });
  });

  test("modes are set for all and for one", async () => {
    await using house = await openHouse();
    const { send, get, register, refused } = house;
    assert.deepEqual(await get("/mode"), { mode: "READWRITE" });
    assert.deepEqual((await send("PUT", "/mode/a", { mode: "READONLY" })).body, { mode: "READONLY" });
    assert.deepEqual(await get("/mode/a"), { mode: "READONLY" });
    assert.equal((await register("a", first)).status, 422);
    assert.deepEqual((await send("DELETE", "/mode/a")).body, { mode: "READONLY" });
    assert.equal((await register("a", first)).status, 200);
    assert.deepEqual(await refused("PUT", "/mode", { mode: "IMPORT" }), [422, 42205]);
    assert.deepEqual((await send("PUT", "/mode?force=true", { mode: "IMPORT" })).body, { mode: "IMPORT" });
    assert.deepEqual((await register("b", { ...second, id: 90, version: 3 })).body, { id: 90 });
    assert.deepEqual(await get("/subjects/b/versions"), [3]);
  });

  test("versions that others are built on say so", async () => {
    await using house = await openHouse();
    const { get, register, refused } = house;
    const base = { schemaType: "JSON", schema: '{"type":"object"}' };
    await register("base", base);
    const reference = { name: "base.json", subject: "base", version: 1 };
    const user = { schemaType: "JSON", schema: '{"$ref":"base.json"}', references: [reference] };
    const { id } = (await register("user", user)).body as { id: number };
    assert.deepEqual(await get("/subjects/base/versions/1/referencedby"), [id]);
    const shown = (await get(`/schemas/ids/${id}`)) as { references: unknown; schemaType: string };
    assert.deepEqual(shown.references, [reference]);
    assert.equal(shown.schemaType, "JSON");
    assert.deepEqual(await refused("DELETE", "/subjects/base"), [422, 42206]);
  });

  test("asks for the key, as a bearer or as the password of a user, and tells who has none in its own form", async () => {
    await using house = await openHouse("correct-horse");
    const { door, send } = house;
    const with_ = (authorization?: string) =>
      send("GET", "/subjects", undefined, authorization === undefined ? {} : { authorization });
    const basic = (pair: string) => `Basic ${Buffer.from(pair).toString("base64")}`;
    for (const wrong of [undefined, "Bearer wrong", basic("user:wrong"), basic("correct-horse:"), "Basic !!"]) {
      const { status, body } = await with_(wrong);
      assert.deepEqual([status, (body as { error_code: number }).error_code], [401, 401], String(wrong));
    }
    assert.equal((await with_(basic("anybody:correct-horse"))).status, 200);
    const elsewhere = await ask(door, "/v1/topics", { headers: { authorization: basic("a:correct-horse") } });
    assert.equal(elsewhere.status, 401, "only here");
  });

  test("whatever is asked is answered in the registry's form, and never as a mistake of ours", async () => {
    await using house = await openHouse();
    const { send, get, register } = house;
    await register("a", first);
    const name = fc.oneof(fc.constantFrom("a", "b", ":.x:y", ".", "%2F"), fc.string({ minLength: 1, maxLength: 8 }));
    const schema = fc.oneof(
      fc.constantFrom(first.schema, "{}", '"string"', 'syntax = "proto3";'),
      fc.string(),
      fc.json(),
    );
    const body = fc.oneof(
      fc.jsonValue(),
      fc.record(
        {
          schema: fc.oneof(schema, fc.jsonValue()),
          schemaType: fc.oneof(fc.constantFrom("AVRO", "JSON", "PROTOBUF"), fc.jsonValue()),
          references: fc.oneof(
            fc.array(fc.record({ name: fc.string(), subject: fc.constantFrom("a", "b"), version: fc.integer() })),
            fc.jsonValue(),
          ),
          id: fc.oneof(fc.integer(), fc.jsonValue()),
          compatibility: fc.oneof(fc.constantFrom("FULL", "none"), fc.jsonValue()),
          mode: fc.oneof(fc.constantFrom("READWRITE", "IMPORT"), fc.jsonValue()),
        },
        { requiredKeys: [] },
      ),
    );
    const paths = ["POST /subjects/*", "POST /subjects/*/versions", "POST /compatibility/subjects/*/versions/latest"];
    const more = [
      "PUT /config/*",
      "PUT /mode/*",
      "GET /subjects/*/versions/*",
      "DELETE /subjects/*",
      "GET /schemas/ids/*",
    ];
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths, ...more), name, body, async (route, given, value) => {
        const [method = "", path = ""] = route.split(" ");
        const hasBody = method === "POST" || method === "PUT";
        const asked = path.replaceAll("*", encodeURIComponent(given.toWellFormed()));
        const { status, text } = await send(method, asked, ...(hasBody ? [value] : []));
        assert.ok([200, 400, 404, 405, 409, 422].includes(status), `${route} ${given}: ${status} ${text}`);
      }),
      { numRuns: 150 },
    );
    assert.deepEqual(await get("/contexts"), ["."]);
  });

  test("bodies that are none are refused and stop nothing", async () => {
    await using house = await openHouse();
    const { door, refused, send } = house;
    const post = (body: string | Buffer, contentType = type) =>
      ask(door, "/registry/subjects/a/versions", { method: "POST", headers: { "content-type": contentType }, body });
    for (const body of ["", "[]", "null", "{", Buffer.from([0xff, 0xfe])]) assert.equal((await post(body)).status, 400);
    assert.equal((await post("{}", "text/plain")).status, 415);
    const { schema } = first;
    for (const references of [{}, [null], [{ name: 1 }], Array(200).fill({})]) {
      assert.deepEqual(await refused("POST", "/subjects/a/versions", { schema, references }), [400, 400]);
    }
    assert.deepEqual(await refused("POST", "/subjects/a/versions", { schema, surprise: 1 }), [400, 400]);
    assert.equal((await send("GET", "/subjects?unknown=1")).status, 200);
  });
});
