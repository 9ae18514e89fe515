import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { chooseAccount, serverAccount } from "./account.ts";
import { run } from "./child.ts";

suite("the server's account", () => {
  const nobody = "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin";

  test("root lends postgres where there is one, else nobody, and never an account that is root too", () => {
    const postgres = "postgres:x:104:112::/var/lib/postgresql:/bin/bash";
    assert.deepEqual(chooseAccount(`root:x:0:0::/root:/bin/sh\n${nobody}\n${postgres}\n`), {
      name: "postgres",
      uid: 104,
      gid: 112,
    });
    assert.deepEqual(chooseAccount(nobody), { name: "nobody", uid: 65534, gid: 65534 });
    assert.deepEqual(chooseAccount("nobody:*:-2:-2::/var/empty:/usr/bin/false"), {
      name: "nobody",
      uid: 4294967294,
      gid: 4294967294,
    });
    assert.deepEqual(chooseAccount(`postgres:x:0:0::/root:/bin/sh\n${nobody}`)?.name, "nobody");
  });

  test("root on a machine without either is told what to do", async () => {
    assert.equal(chooseAccount("root:x:0:0::/root:/bin/sh\nbroken line\n"), null);
    await assert.rejects(serverAccount(0, "/nowhere"), { code: "STORE_START_FAILED", hint: /useradd/ });
  });

  test("an ordinary user runs the server as itself", async () => {
    assert.equal(await serverAccount(1000, "/nowhere"), null);
  });

  test("a program that cannot be started is an outcome, with the reason", async () => {
    const { exitCode, output } = await run("/nowhere/postgres", [], { account: null });
    assert.equal(exitCode, null);
    assert.match(output, /ENOENT/);
  });
});
