import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { keysFromAddress } from "./json-web-key-address.ts";

test("keys are loaded from https or this machine alone, up to a bound", async () => {
  for (const address of ["", "x", "http://id.example/keys", "file:///etc/passwd", "http://127.0.0.1.example/"]) {
    assert.throws(
      () => keysFromAddress(address),
      (error) => MillraceError.is(error, "SETTING_INVALID"),
      address,
    );
  }
  const answering =
    (text: string, status = 200) =>
    async () =>
      new Response(text, { status });
  const { signal } = new AbortController();
  assert.equal(await keysFromAddress("https://id.example/keys", answering("{}"))(signal), "{}");
  assert.equal(await keysFromAddress("http://localhost:1/keys", answering("{}"))(signal), "{}");
  await assert.rejects(keysFromAddress("https://id.example/", answering("", 500))(signal), /500/);
  await assert.rejects(keysFromAddress("https://id.example/", answering("x".repeat(2 ** 21)))(signal), /larger/);
});
