import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { suite, test } from "node:test";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { storeFailure } from "./failure.ts";
import { readerRole } from "./roles.ts";
import { scramVerifier } from "./scram.ts";
import { clientConfig, openPool, pinnedSession, startupOptions } from "./session.ts";

suite("the store's sessions", () => {
  test("settings go out as the start-up packet takes them", () => {
    assert.equal(
      startupOptions({ TimeZone: "UTC", DateStyle: "ISO, YMD", a: "b\\c" }),
      "-c TimeZone=UTC -c DateStyle=ISO,\\ YMD -c a=b\\\\c",
    );
  });

  test("a pool that gets no connection says that the store is unavailable, by every way of asking", async () => {
    const nowhere = { host: "127.0.0.1", port: 1, database: "x", user: "x", password: "x", ssl: false };
    const pool = openPool(clientConfig(nowhere, pinnedSession, "test"), 1, silentDiagnostics);
    await assert.rejects(pool.connect(), { code: "STORE_UNAVAILABLE" });
    await assert.rejects(pool.query("select 1"), { code: "STORE_UNAVAILABLE" });
    await pool.end();
  });

  test("failures of the connection are told from failures of the statement", () => {
    const codeOf = (code: string, message = "") => {
      const failure = storeFailure(Object.assign(new Error(message), { code }));
      return failure instanceof Error && "code" in failure ? failure.code : undefined;
    };
    for (const code of ["08006", "57P01", "57P02", "57P03", "53300", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT"]) {
      assert.equal(codeOf(code), "STORE_UNAVAILABLE", code);
    }
    assert.equal(codeOf("", "Connection terminated unexpectedly"), "STORE_UNAVAILABLE");
    assert.equal(codeOf("28P01"), "STORE_NOT_PERMITTED");
    assert.equal(codeOf("3D000"), "STORE_NOT_PERMITTED");
    assert.equal(codeOf("53100"), "STORE_DISK_FULL");
    assert.equal(codeOf("57014"), "QUERY_TIMEOUT");
    for (const code of ["23505", "42501", "42P01", "22P02", "40001"]) assert.equal(codeOf(code), code);
  });

  test("a verifier is that of RFC 7677's example", () => {
    const verifier = scramVerifier("pencil", Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64"));
    const [, salt, , serverKey] = /^SCRAM-SHA-256\$4096:(.*)\$(.*):(.*)$/.exec(verifier) ?? [];
    assert.equal(salt, "W22ZaJ0SNY7soEsUEjb6gQ==");
    const nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const message = `n=user,r=rOprNGfwEbeRWgbNEkqO,r=${nonce},s=${salt},i=4096,c=biws,r=${nonce}`;
    const signature = createHmac("sha256", Buffer.from(serverKey ?? "", "base64"))
      .update(message)
      .digest("base64");
    assert.equal(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
  });

  test("each database of a server has a reader of its own, with a name that PostgreSQL does not cut", () => {
    assert.equal(readerRole("millrace"), "millrace_reader");
    assert.equal(readerRole("app"), "millrace_reader_app");
    const long = ["a", "b"].map((last) => readerRole("x".repeat(62) + last));
    assert.equal(new Set(long).size, 2);
    for (const role of long) assert.ok(role.length <= 63);
  });
});
