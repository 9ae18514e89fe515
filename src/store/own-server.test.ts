import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { suite, test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { systemRandom } from "../base/random.ts";
import { type Inspection, judge, openOwnServer, parseStoreUrl } from "./own-server.ts";

suite("a store of one's own", () => {
  const good: Inspection = {
    version: 180_004,
    role: "app",
    superuser: false,
    createRole: true,
    createInDatabase: true,
    temporary: true,
    readersExist: false,
    standby: false,
    encoding: "UTF8",
    pinned: true,
  };

  test("a role that may create roles, schemas and temporary tables is enough", () => {
    assert.equal(judge(good, "app"), null);
    assert.equal(judge({ ...good, createRole: false, readersExist: true }, "app"), null);
    assert.equal(judge({ ...good, superuser: true, createRole: false, createInDatabase: false }, "app"), null);
  });

  test("a server before 18 is refused, whatever else is wrong with it", () => {
    const refusal = judge({ ...good, version: 170_006, createRole: false }, "app");
    assert.equal(refusal?.code, "STORE_TOO_OLD");
    assert.match(refusal?.message ?? "", /17\.6/);
  });

  test("a standby and an encoding other than UTF8 are refused", () => {
    assert.equal(judge({ ...good, standby: true }, "app")?.code, "STORE_UNSUITABLE");
    assert.equal(judge({ ...good, encoding: "SQL_ASCII" }, "app")?.code, "STORE_UNSUITABLE");
  });

  test("a pooler that refuses or drops the session's settings is told by that", async () => {
    assert.equal(judge({ ...good, pinned: false }, "app")?.code, "STORE_UNSUITABLE");
    const words = "SFATAL\0C08P01\0Munsupported startup parameter: options\0\0";
    const refusal = Buffer.concat([Buffer.from("E\0\0\0"), Buffer.from([words.length + 4]), Buffer.from(words)]);
    const pooler = createServer((socket) => socket.once("data", () => socket.end(refusal))).listen(0, "127.0.0.1");
    await once(pooler, "listening");
    const url = `postgres://app@127.0.0.1:${(pooler.address() as AddressInfo).port}/app`;
    const options = { url, openTimeoutMs: 60_000, clock: systemClock, random: systemRandom };
    await assert.rejects(openOwnServer({ ...options, diagnostics: silentDiagnostics }), { code: "STORE_UNSUITABLE" });
    pooler.close();
  });

  test("what the role lacks is named as the SQL to run, with names quoted", () => {
    const refusal = judge(
      { ...good, role: 'a"b', createRole: false, createInDatabase: false, temporary: false },
      "my db",
    );
    assert.equal(refusal?.code, "STORE_NOT_PERMITTED");
    assert.deepEqual(refusal?.details.sql, [
      'grant create, temporary on database "my db" to "a""b";',
      'alter role "a""b" createrole;',
    ]);
  });

  test("an address is read as libpq reads it", () => {
    const login = parseStoreUrl("postgresql://app:s%40crt@db.example:6432/app?sslmode=verify-full");
    assert.deepEqual(
      [login.host, login.port, login.database, login.user, login.password],
      ["db.example", 6432, "app", "app", "s@crt"],
    );
    assert.ok(login.ssl);
    assert.equal(parseStoreUrl("postgres:///app?host=/run/postgresql&user=app").host, "/run/postgresql");
  });

  test("what is no address is refused without showing it, for it may hold a password", () => {
    for (const url of ["", "mysql://a:geheim@b/c", "postgres://a:geheim@b:port/c"]) {
      assert.throws(
        () => parseStoreUrl(url),
        (error: Error & { code: string }) => error.code === "SETTING_INVALID" && !error.message.includes("geheim"),
        url,
      );
    }
  });
});
