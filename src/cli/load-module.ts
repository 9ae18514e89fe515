/**
 * A definition module: read, stripped of its types and run by Node.js itself, again from the file on each load, with
 * everything that it imports by a relative path. What it exports are definitions; what it throws is told with file and
 * line.
 */
import { existsSync, readFileSync } from "node:fs";
import { createRequire, registerHooks } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import { collectDefinitions } from "../catalog/collect.ts";
import type { Definition } from "../catalog/definitions.ts";

export interface LoadedModule {
  readonly definitions: readonly Definition[];
  /** The module and what it imports by relative paths. */
  readonly files: readonly string[];
}

/** A failed load knows which files it had reached: an edit of any of them may be the repair. */
export interface FailedModule {
  readonly error: MillraceError;
  readonly files: readonly string[];
}

/** How long a module may take, its own awaits included. */
const loadMs = 30_000;
const generationParameter = "millrace-generation";
const hidden = /\?millrace-generation=\d+/g;

let generation = 0;
let reached = new Set<string>();

/** Throws `MODULE_UNREADABLE`, or the error of a definition with the place where it was made. */
export async function loadDefinitions(path: string, clock: Clock): Promise<Definition[]> {
  const loaded = await loadModule(path, clock);
  if ("error" in loaded) throw loaded.error;
  return [...loaded.definitions];
}

/** Loads one after the other: the hooks serve one generation at a time. */
export async function loadModule(path: string, clock: Clock): Promise<LoadedModule | FailedModule> {
  installHooks();
  reached = new Set([path]);
  generation++;
  const url = pathToFileURL(path);
  url.searchParams.set(generationParameter, String(generation));
  try {
    readFileSync(path);
    const namespace = await inTime(import(url.href), clock, path);
    return { definitions: collectDefinitions(namespace as Record<string, unknown>), files: [...reached] };
  } catch (thrown) {
    return { error: describe(thrown, path), files: [...reached] };
  }
}

/** For `--import`: a module that makes others loadable, found from the caller's folder. Throws `MODULE_UNREADABLE`. */
export async function importFirst(specifier: string, directory: string): Promise<void> {
  try {
    const found = createRequire(join(directory, "package.json")).resolve(specifier);
    await import(pathToFileURL(found).href);
  } catch (cause) {
    throw new MillraceError("MODULE_UNREADABLE", `--import ${specifier}: ${messageOf(cause)}`, {
      hint: "Is it installed in this folder?",
      cause,
    });
  }
}

let hooked = false;

/** What a module of this generation imports by a relative path belongs to this generation. */
function installHooks(): void {
  if (hooked) return;
  hooked = true;
  registerHooks({
    resolve(specifier, context, next) {
      const resolved = next(specifier, context);
      const from = generationOf(context.parentURL);
      if (from === null || !/^\.\.?\//.test(specifier) || !resolved.url.startsWith("file:")) return resolved;
      const url = new URL(resolved.url);
      if (Number(from) === generation) reached.add(fileURLToPath(url));
      if (!/\.[cm]?[jt]s$/.test(url.pathname)) return resolved;
      url.searchParams.set(generationParameter, from);
      return { ...resolved, url: url.href };
    },
  });
}

function generationOf(url: string | undefined): string | null {
  return url !== undefined && URL.canParse(url) ? new URL(url).searchParams.get(generationParameter) : null;
}

async function inTime<T>(work: Promise<T>, clock: Clock, path: string): Promise<T> {
  const over = new AbortController();
  const late = clock.sleep(loadMs, over.signal).then(() => {
    throw new MillraceError("MODULE_UNREADABLE", `${path} was not loaded within ${loadMs / 1_000} s`, {
      hint: "Does it await something that does not come? Definitions need no connection.",
    });
  });
  late.catch(() => {});
  try {
    return await Promise.race([work, late]);
  } finally {
    over.abort();
  }
}

function describe(thrown: unknown, path: string): MillraceError {
  const place = placeOf(thrown);
  const message = messageOf(thrown);
  const at = place === undefined || message.includes(place) ? "" : `${place}: `;
  if (MillraceError.is(thrown)) {
    if (thrown.code === "MODULE_UNREADABLE") return thrown;
    return new MillraceError(thrown.code, `${at}${message}`, {
      ...(thrown.hint === undefined ? {} : { hint: thrown.hint }),
      details: thrown.details,
      cause: thrown,
    });
  }
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  if (code === "ENOENT" && !existsSync(path)) {
    return new MillraceError("MODULE_UNREADABLE", `there is no ${path}`, { hint: hintFor(code) ?? "" });
  }
  const hint = /^Cannot use import statement outside a module/.test(message)
    ? 'Node.js takes it for CommonJS: package.json needs "type": "module" (npm pkg set type=module).'
    : hintFor(code);
  return new MillraceError("MODULE_UNREADABLE", at === "" ? `${path}: ${message}` : `${at}${message}`, {
    ...(hint === undefined ? {} : { hint }),
    cause: thrown,
  });
}

function hintFor(code: string): string | undefined {
  switch (code) {
    case "ENOENT":
      return "Give the path of the definition module, or run millrace init to write one.";
    case "ERR_MODULE_NOT_FOUND":
      return "Imports of your own files end in .ts; packages must be installed in this folder.";
    case "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX":
      return "Node.js only takes types away: write enums, namespaces and parameter properties as plain TypeScript, or use --import tsx.";
    default:
      return undefined;
  }
}

/** The first line of the stack that is the user's: `file:line`. */
function placeOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || typeof thrown.stack !== "string") return undefined;
  for (const line of thrown.stack.split("\n")) {
    const match =
      /(?:\(|\bat |^|async )((?:file:\/\/)?\/[^\s()]*?\.[cm]?[jt]sx?)(?:\?millrace-generation=\d+)?:(\d+)/.exec(line);
    if (match === null) continue;
    const [, file = "", number] = match;
    const path = file.startsWith("file:") ? fileURLToPath(file) : file;
    if (reached.has(path)) return `${path}:${number}`;
  }
  return undefined;
}

function messageOf(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : `it throws ${JSON.stringify(thrown) ?? String(thrown)}`;
  return (text === "" ? "it throws an error without a message" : text).replaceAll(hidden, "").trim();
}
