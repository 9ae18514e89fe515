/**
 * The first thing that every npm script runs: plain JavaScript on whatever Node.js the machine has (20 or later), with
 * nothing installed. It installs what is missing, picks the runtime, runs the command with it, and stands between
 * npm and the program: signals go down, the exit code comes up.
 *
 * The program gets an IPC channel and takes its end for the end of its launcher. Nothing tells this process when npm
 * itself is killed, so it watches its ancestors.
 */
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { constants as osConstants } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { watchAncestors } from "./bootstrap/ancestors.mjs";
import { withInstallLock } from "./bootstrap/install-lock.mjs";
import { whatIsMissing } from "./bootstrap/installed.mjs";
import { pinnedRuntime, unsupported, usableVersion } from "./bootstrap/runtime.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");

/** What each command runs: arguments for Node.js, to which the caller's own are added. */
const commands = {
  start: ["-C", "source", "examples/shop/start.ts"],
  test: ["tools/test.ts", "unit"],
  "test:services": ["tools/test.ts", "services"],
  "test:soak": ["tools/test.ts", "soak"],
  "test:model": ["tools/test.ts", "model"],
  check: ["tools/check.ts"],
  bench: ["-C", "source", "bench/run.ts"],
  millrace: ["-C", "source", "src/cli/millrace.ts"],
  format: ["node_modules/@biomejs/biome/bin/biome", "check", "--write", "."],
  build: ["tools/build.ts"],
};

const setUpExit = 3;

function refuse(sentence) {
  console.error(`millrace: ${sentence}`);
  process.exit(setUpExit);
}

const [command, ...rest] = process.argv.slice(2);
const nodeArguments = Object.hasOwn(commands, command ?? "") ? commands[command] : undefined;
if (nodeArguments === undefined) {
  console.error(`millrace: ${command === undefined ? "no command" : `"${command}" is no command`} of this repository`);
  console.error(`  one of: ${Object.keys(commands).join(", ")}`);
  process.exit(2);
}
const refusal = unsupported(process);
if (refusal !== undefined) refuse(refusal);
await install().catch((error) => refuse(`${error.message}; what is missing cannot be installed`));
run(pickRuntime());

async function install() {
  if (whatIsMissing(root) === undefined) return;
  await withInstallLock(join(root, ".millrace"), () => {
    const missing = whatIsMissing(root);
    if (missing === undefined) return;
    console.error(`millrace: installing from npm (${missing})`);
    const began = process.hrtime.bigint();
    const npm = process.env.npm_execpath?.endsWith(".js")
      ? { file: process.execPath, args: [process.env.npm_execpath] }
      : { file: "npm", args: [] };
    const { status, error } = spawnSync(
      npm.file,
      [
        ...npm.args,
        "ci",
        "--ignore-scripts",
        "--include=dev",
        "--include=optional",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
      ],
      { cwd: root, stdio: ["ignore", 2, 2] },
    );
    if (status !== 0) {
      refuse(`npm ci failed${error ? `: ${error.message}` : ""}; its words are above. Is the registry reachable?`);
    }
    const still = whatIsMissing(root);
    if (still !== undefined) refuse(`npm ci ended well, but ${still}. Remove node_modules and try again.`);
    console.error(`millrace: installed in ${Number((process.hrtime.bigint() - began) / 1_000_000_000n)} s`);
  });
}

/** CI always runs the pinned version; elsewhere the machine's own will do when it is new enough. */
function pickRuntime() {
  const ci = process.env.CI !== undefined && !["", "0", "false"].includes(process.env.CI);
  if (!ci && usableVersion(process.versions.node)) return process.execPath;
  const runtime = pinnedRuntime(root, process);
  try {
    accessSync(runtime, constants.X_OK);
  } catch {
    refuse(`the pinned Node.js is not at ${runtime}. Remove node_modules and try again.`);
  }
  return runtime;
}

function run(runtime) {
  const script = nodeArguments.findLast((argument) => /\.ts$|biome$/.test(argument));
  if (!existsSync(join(root, script))) refuse(`${script} is not in this clone`);
  const child = spawn(runtime, [...nodeArguments, ...rest], {
    cwd: root,
    stdio: ["inherit", "inherit", "inherit", "ipc"],
  });
  const stopWatching = watchAncestors(() => {
    if (child.connected) child.disconnect();
    child.kill("SIGTERM");
  });
  const forwarded = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of forwarded) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => refuse(`${runtime} cannot be run: ${error.message}`));
  child.on("exit", (code, signal) => {
    stopWatching();
    process.exit(code ?? 128 + (osConstants.signals[signal] ?? 0));
  });
}
