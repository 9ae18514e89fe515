import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { checkPlatform, thisMachine } from "./platform.ts";

test("what is not served is refused with a sentence, and this machine is served", () => {
  checkPlatform(thisMachine());
  for (const [machine, message] of [
    [{ platform: "win32", arch: "x64", glibc: true }, /^Windows is not supported yet$/],
    [{ platform: "freebsd", arch: "x64", glibc: true }, /^freebsd is not/],
    [{ platform: "linux", arch: "riscv64", glibc: true }, /riscv64/],
    [{ platform: "linux", arch: "x64", glibc: false }, /musl/],
  ] as const) {
    assert.throws(
      () => checkPlatform(machine),
      (error) => MillraceError.is(error, "PLATFORM_UNSUPPORTED") && message.test(error.message) && !!error.hint,
    );
  }
});
