import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { accessFile, pinnedSettings, settingsFile, socketDirectoryOrNull } from "./server-settings.ts";

const GiB = 1024 ** 3;

suite("the embedded server's settings", () => {
  test("memory is a share of the machine's, between bounds", () => {
    const buffers = (memoryBytes: number) =>
      /shared_buffers = '(\d+MB)'/.exec(settingsFile({ memoryBytes, sharedMemoryBytes: null }, null))?.[1];
    assert.deepEqual(
      [0.25, 1, 4, 64].map((size) => buffers(size * GiB)),
      ["64MB", "128MB", "512MB", "1024MB"],
    );
  });

  test("a container's small shared memory is not used", () => {
    const file = (sharedMemoryBytes: number) => settingsFile({ memoryBytes: GiB, sharedMemoryBytes }, null);
    assert.match(file(64 * 1024 ** 2), /dynamic_shared_memory_type = 'mmap'/);
    assert.doesNotMatch(file(GiB), /dynamic_shared_memory_type/);
  });

  test("a user's file is named whatever its path has in it", () => {
    assert.match(
      settingsFile({ memoryBytes: GiB, sharedMemoryBytes: null }, "/it's/a.conf"),
      /include = '\/it''s\/a\.conf'/,
    );
  });

  test("what keeps data and addresses is on the command line, which wins over every file", () => {
    const line = pinnedSettings({ dataDirectory: "/d", port: 4432, socketDirectory: '/a "b", c' });
    for (const setting of [
      "fsync=on",
      "full_page_writes=on",
      "wal_level=logical",
      "listen_addresses=127.0.0.1",
      "port=4432",
    ]) {
      assert.ok(line.includes(setting), setting);
    }
    assert.ok(line.includes('unix_socket_directories="/a ""b"", c"'));
    assert.ok(
      pinnedSettings({ dataDirectory: "/d", port: 1, socketDirectory: null }).includes("unix_socket_directories="),
    );
  });

  test("every way in asks for a password", () => {
    for (const line of accessFile.split("\n").filter((text) => text !== "" && !text.startsWith("#"))) {
      assert.match(line, /scram-sha-256$/);
    }
  });

  test("a socket's path stays below what operating systems take", () => {
    assert.equal(socketDirectoryOrNull(`/${"x".repeat(87)}`)?.length, 88);
    assert.equal(socketDirectoryOrNull(`/${"x".repeat(88)}`), null);
    assert.equal(socketDirectoryOrNull(`/${"ü".repeat(44)}`), null);
  });
});
