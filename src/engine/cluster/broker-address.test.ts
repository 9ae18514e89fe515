import assert from "node:assert/strict";
import { test } from "node:test";
import { parseBrokerAddresses, printAddress } from "./broker-address.ts";

const parse = (text: string) => parseBrokerAddresses(text, "MILLRACE_KAFKA");

test("brokers are named by host and port, several with commas between", () => {
  assert.deepEqual(parse("kafka-1.example:9092, 10.0.0.2:19092"), [
    { host: "kafka-1.example", port: 9092 },
    { host: "10.0.0.2", port: 19_092 },
  ]);
  assert.deepEqual(parse("[::1]:9092"), [{ host: "::1", port: 9092 }]);
  assert.equal(printAddress({ host: "::1", port: 9092 }), "[::1]:9092");
  assert.equal(printAddress({ host: "a", port: 1 }), "a:1");
});

test("what is no address is refused, with the setting's name", () => {
  for (const text of ["", "kafka", "kafka:", ":9092", "kafka:0", "kafka:65536", "kafka:9092,", "a b:1", "http://a:1"]) {
    assert.throws(() => parse(text), { code: "SETTING_INVALID", message: /MILLRACE_KAFKA/ }, text);
  }
  assert.throws(() => parse(Array(101).fill("a:1").join()), { code: "SETTING_INVALID" });
});
