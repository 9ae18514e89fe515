import { readFileSync } from "node:fs";

/** Of the package that this file belongs to, from source as from the build. */
export function packageVersion(): string {
  const about: unknown = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  return typeof about === "object" && about !== null && "version" in about ? String(about.version) : "unknown";
}
