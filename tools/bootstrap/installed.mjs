/**
 * Whether node_modules is what package-lock.json says. npm writes `node_modules/.package-lock.json` when an
 * installation has come to its end, so an interrupted one is seen; nothing is written here, so that node_modules may
 * be read-only.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A phrase that says what is missing, or undefined when nothing is. */
export function whatIsMissing(root, machine = { platform: process.platform, arch: process.arch }) {
  const wanted = readPackages(join(root, "package-lock.json"));
  if (wanted === undefined) return "package-lock.json cannot be read";
  const installed = readPackages(join(root, "node_modules", ".package-lock.json"));
  if (installed === undefined) return "node_modules is absent";
  for (const [path, entry] of Object.entries(wanted)) {
    if (!path.includes("node_modules/") || !isNeeded(entry, machine)) continue;
    const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
    if (!existsSync(join(root, path, "package.json"))) return `${name} is missing`;
    if (!entry.link && installed[path]?.version !== entry.version) return `${name} is not ${entry.version}`;
  }
  return undefined;
}

function readPackages(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8")).packages;
  } catch {
    return undefined;
  }
}

/** Optional packages are needed when they name a machine, and it is this one. */
function isNeeded(entry, { platform, arch }) {
  if (entry.libc !== undefined && ![entry.libc].flat().includes("glibc")) return false;
  if (!fits(entry.os, platform) || !fits(entry.cpu, arch)) return false;
  return !entry.optional || entry.os !== undefined;
}

function fits(allowed, value) {
  if (allowed === undefined) return true;
  const list = [allowed].flat();
  if (list.includes(`!${value}`)) return false;
  return list.includes(value) || list.every((one) => one.startsWith("!"));
}
