/**
 * Notices that npm is gone. npm runs a script through `sh -c`, which some shells replace by the command and others
 * stay around as its parent; so the chain is followed through shells of that form up to npm, and it is broken when
 * any link has another parent than at the start.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

const lookEveryMs = 500;

/** Calls `onGone` once. Does nothing when npm did not start this process. Answers how to stop watching. */
export function watchAncestors(onGone, { env = process.env, everyMs = lookEveryMs } = {}) {
  if (env.npm_lifecycle_event === undefined) return () => {};
  const parent = process.ppid;
  const shell = isShell(parent);
  const grandparent = shell ? parentOf(parent) : undefined;
  const timer = setInterval(() => {
    if (process.ppid === parent && (!shell || parentOf(parent) === grandparent)) return;
    clearInterval(timer);
    onGone();
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

function isShell(pid) {
  if (process.platform === "linux") {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")[1] === "-c";
    } catch {
      return false;
    }
  }
  return /^\S*sh -c /.test(ps(pid, "command"));
}

/** Undefined when the process is gone. */
function parentOf(pid) {
  if (process.platform !== "linux") return Number(ps(pid, "ppid")) || undefined;
  try {
    // The name is in parentheses and may hold anything; what follows the last one is "state ppid …".
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return undefined;
  }
}

function ps(pid, field) {
  return spawnSync("ps", ["-o", `${field}=`, "-p", String(pid)], { encoding: "utf8" }).stdout?.trim() ?? "";
}
