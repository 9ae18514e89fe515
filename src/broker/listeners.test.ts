import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { parseListeners } from "./listeners.ts";

const names = { listeners: "LISTENERS", advertised: "ADVERTISED", protocolMap: "PROTOCOLS" };

function parse(listeners: string, advertised: string | null = null, protocolMap: string | null = null) {
  return parseListeners({ listeners, advertised, protocolMap }, names);
}

describe("listeners", () => {
  test("a name that is a protocol is its own, and is advertised where it listens", () => {
    assert.deepEqual(parse("PLAINTEXT://127.0.0.1:9092"), [
      {
        name: "PLAINTEXT",
        protocol: "PLAINTEXT",
        host: "127.0.0.1",
        port: 9092,
        advertised: { host: "127.0.0.1", port: null },
      },
    ]);
  });

  test("one on every address is advertised as what the client has connected to", () => {
    const [listener] = parse("SSL://0.0.0.0:9093");
    assert.deepEqual(listener?.advertised, { host: null, port: null });
    assert.equal(parse("SSL://:9093")[0]?.host, "0.0.0.0");
    assert.equal(parse("SSL://[::]:9093")[0]?.host, "::");
  });

  test("other names have their protocol in the map, and each may be advertised elsewhere", () => {
    const [inside, outside] = parse(
      "INTERNAL://127.0.0.1:9092, external://0.0.0.0:9094",
      "EXTERNAL://log.example:19094",
      "internal:plaintext,EXTERNAL:SASL_SSL",
    );
    assert.equal(inside?.protocol, "PLAINTEXT");
    assert.equal(outside?.protocol, "SASL_SSL");
    assert.deepEqual(outside?.advertised, { host: "log.example", port: 19094 });
  });

  for (const [what, ...texts] of [
    ["nothing", ""],
    ["no scheme", "127.0.0.1:9092"],
    ["a port beyond 65535", "PLAINTEXT://h:70000"],
    ["an unknown protocol", "INSIDE://127.0.0.1:9092"],
    ["a name twice", "SSL://h:1,SSL://h:2"],
    ["an advertised listener that is not there", "SSL://h:1", "PLAINTEXT://h:2"],
    ["an advertised address that is every address", "SSL://0.0.0.0:1", "SSL://0.0.0.0:1"],
    ["an advertised port that is any", "SSL://h:1", "SSL://h:0"],
    ["an unknown protocol in the map", "A://h:1", null, "A:TCP"],
  ] as const) {
    test(`refuses ${what}, naming the setting`, () => {
      const [listeners, advertised, map] = texts;
      assert.throws(
        () => parse(listeners, advertised, map),
        (error) => MillraceError.is(error, "SETTING_INVALID") && /LISTENERS|ADVERTISED|PROTOCOLS/.test(error.message),
      );
    });
  }
});
