/** Packages of Debian's that the system's own lists do not have. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./maven-jars.ts";

/** What `apt-get` downloads lies in the folder then. `source` is a line of `sources.list`. Throws what `apt-get` says. */
export function downloadByApt(folder: string, source: string, args: readonly string[]): void {
  // Lists of its own: the system's stay as they are.
  const lists = join(folder, "lists");
  const sources = join(folder, "sources.list");
  mkdirSync(join(lists, "partial"), { recursive: true });
  writeFileSync(sources, `${source}\n`);
  const options = [
    `Dir::Etc::sourcelist=${sources}`,
    "Dir::Etc::sourceparts=/dev/null",
    `Dir::State::lists=${lists}`,
    "APT::Sandbox::User=root",
  ].flatMap((option) => ["-o", option]);
  run("apt-get", ["-qq", ...options, "update"]);
  run("apt-get", ["-qq", ...options, ...args], { cwd: folder });
  for (const path of [lists, sources]) rmSync(path, { recursive: true });
}
