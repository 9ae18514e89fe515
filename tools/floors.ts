/**
 * The architecture's table as data, and what breaks it. An import points to a lower floor, stays in its folder, or
 * goes sideways along a named edge. What would make a test depend on the real machine (clocks, timers, randomness,
 * files, sockets, processes, the environment) is used on the floors that are named for it, and handed in elsewhere.
 */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { blankComments, blankStrings, importsOf } from "./source-text.ts";

export const floors: Readonly<Record<string, number>> = {
  base: 0,
  records: 1,
  log: 2,
  kafka: 2,
  schema: 2,
  state: 2,
  engine: 3,
  store: 3,
  access: 3,
  catalog: 3,
  ownership: 3,
  registry: 3,
  capture: 4,
  views: 4,
  queues: 4,
  sagas: 4,
  feeds: 4,
  publish: 4,
  sinks: 4,
  audit: 4,
  migrate: 4,
  http: 5,
  broker: 5,
  observe: 5,
  cli: 6,
};

/** Files that stand in `src/` itself are the programme. */
const programmeFloor = 6;

export const sideways: readonly (readonly [from: string, to: string])[] = [
  ["ownership", "engine"],
  ["catalog", "engine"],
  ["access", "catalog"],
  ["registry", "engine"],
  ["registry", "ownership"],
  ["registry", "catalog"],
  ["sagas", "queues"],
  ["feeds", "views"],
  ["publish", "views"],
  ["migrate", "capture"],
  ["migrate", "sinks"],
  ["migrate", "audit"],
];

interface Place {
  /** As in `src/log/segment.ts`. */
  readonly path: string;
  /** Null for a file of `src/` itself. */
  readonly folder: string | null;
  readonly floor: number;
}

interface Ban {
  readonly what: string;
  /** Matched against code without comments and strings. */
  readonly code?: RegExp;
  /** Matched against the specifiers of imports. */
  readonly module?: RegExp;
  readonly allowed: (place: Place) => boolean;
}

const inBase = ({ folder }: Place): boolean => folder === "base";

const bans: readonly Ban[] = [
  { what: "Date.now", code: /\bDate\.now\b/, allowed: inBase },
  { what: "new Date() without a time", code: /\bnew Date\b(?!\s*\(\s*[^\s)])/, allowed: inBase },
  { what: "performance", code: /(?<![.\w])performance\s*\./, allowed: inBase },
  { what: "process.hrtime", code: /\bprocess\.hrtime\b/, allowed: inBase },
  { what: "Math.random", code: /\bMath\.random\b/, allowed: inBase },
  { what: "randomUUID", code: /\brandomUUID\b/, allowed: inBase },
  {
    what: "a timer",
    code: /(?<![.\w])(?:setTimeout|setInterval|setImmediate)\s*\(|\bAbortSignal\.timeout\b/,
    allowed: inBase,
  },
  { what: "node:timers", module: /^(node:)?timers(\/|$)/, allowed: inBase },
  { what: "node:perf_hooks", module: /^(node:)?perf_hooks$/, allowed: inBase },
  {
    what: "node:fs",
    module: /^(node:)?fs(\/|$)/,
    allowed: (place) => inBase(place) || place.folder === "store" || place.floor === programmeFloor,
  },
  {
    what: "a socket",
    module: /^(node:)?(net|tls|dgram|http|https|http2)$/,
    allowed: ({ floor }) => floor === 3 || floor === 5,
  },
  {
    what: "child_process",
    module: /^(node:)?child_process$/,
    allowed: ({ folder, floor }) => folder === "store" || floor === programmeFloor,
  },
  { what: "process.env", code: /\bprocess\.env\b/, allowed: ({ path }) => path === "src/settings.ts" },
];

/** Libraries that a workspace may use; it imports nothing of the house. */
const workspaces: Readonly<Record<string, RegExp>> = {
  client: /^$/,
  console: /^(preact|htm|uplot|@millrace\/client)(\/|$)/,
};

const testFile = /(\.(test|suite|model|fixture)|-fixture)\.ts$|^test\//;

/** Every breach below `root`, as `file -> target`, sorted. */
export function breachesIn(root: string): string[] {
  const paths = globSync(["src/**/*.ts", "client/src/**/*.ts", "console/src/**/*.ts"], { cwd: root });
  return paths.flatMap((path) => breachesOf(path, readFileSync(join(root, path), "utf8"))).sort();
}

/** The breaches of one file; its path is relative to the root. Tests may reach for anything. */
export function breachesOf(path: string, text: string): string[] {
  if (testFile.test(path)) return [];
  const workspace = Object.keys(workspaces).find((name) => path.startsWith(`${name}/`));
  const code = blankComments(text);
  const found = workspace === undefined ? houseBreaches(path, code) : workspaceBreaches(path, code, workspace);
  return found.map((target) => `${path} -> ${target}`);
}

function houseBreaches(path: string, code: string): string[] {
  const from = placeOf(path);
  if (typeof from === "string") return [from];
  const found: string[] = [];
  const specifiers = importsOf(code);
  for (const specifier of specifiers) {
    if (!specifier.startsWith(".")) {
      if (from.folder === "base" && !specifier.startsWith("node:"))
        found.push(`${specifier} (base/ imports node: only)`);
      continue;
    }
    const target = posix.join(dirname(path), specifier);
    const to = placeOf(target);
    if (testFile.test(target)) found.push(`${target} (a test)`);
    else if (typeof to === "string") found.push(`${target} (outside src/)`);
    else if (!mayImport(from, to)) found.push(target);
  }
  const words = blankStrings(code);
  const used = importsOf(code, { types: false });
  for (const ban of bans) {
    if (ban.allowed(from)) continue;
    if (ban.code?.test(words) || used.some((specifier) => ban.module?.test(specifier))) found.push(ban.what);
  }
  return found;
}

function mayImport(from: Place, to: Place): boolean {
  if (to.floor < from.floor || (to.folder === from.folder && to.floor === from.floor)) return true;
  if (from.floor === programmeFloor) return true;
  return sideways.some(([a, b]) => a === from.folder && b === to.folder);
}

/** A string says why the path has no place. */
function placeOf(path: string): Place | string {
  const [top, folder, below] = path.split("/");
  if (top !== "src" || folder === undefined) return `${path} (outside src/)`;
  if (below === undefined) return { path, folder: null, floor: programmeFloor };
  const floor = floors[folder];
  return floor === undefined ? `src/${folder}/ (not in the table of floors)` : { path, folder, floor };
}

function workspaceBreaches(path: string, code: string, workspace: string): string[] {
  return importsOf(code).filter((specifier) => {
    if (!specifier.startsWith(".")) return !workspaces[workspace]?.test(specifier);
    return !posix.join(dirname(path), specifier).startsWith(`${workspace}/src/`);
  });
}

if (import.meta.main) {
  const breaches = breachesIn(join(import.meta.dirname, ".."));
  for (const breach of breaches) console.log(breach);
  process.exitCode = breaches.length === 0 ? 0 : 1;
}
