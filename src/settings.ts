/**
 * The only reader of the environment. Settings are a table; `.env` beside the definition module fills in what the
 * environment itself does not say.
 */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseEnv } from "node:util";
import { MillraceError } from "./base/errors.ts";
import { parseDurationMs, parseSizeBytes } from "./base/units.ts";
import { type KafkaSettings, kafkaSettingsTable, readKafkaSettings } from "./kafka-settings.ts";
import { type DiagnosticsLevel, parseDiagnosticsLevel } from "./observe/diagnostics.ts";
import type { TokenSettings } from "./token-rules.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** A port that a user named is that one or none (0: any); the default may move to the next free one. */
export interface PortSetting {
  readonly port: number;
  /** True when the setting was given. */
  readonly required: boolean;
}

export interface Settings {
  readonly http: PortSetting;
  readonly host: string;
  /** Absolute. */
  readonly dataDirectory: string;
  readonly logMemoryBytes: number;
  readonly diskReserveBytes: number;
  /** `postgres://…` of a store of the user's own; null for the embedded one. */
  readonly store: string | null;
  readonly storePort: PortSetting;
  /** Of views' rows that are kept in memory by their keys. */
  readonly rowCacheBytes: number;
  readonly key: string | null;
  readonly origins: readonly string[];
  /** Of callers' tokens, for views with a policy; null takes none. */
  readonly tokens: TokenSettings | null;
  /** How long an idempotency key is remembered. */
  readonly idempotencyWindowMs: number;
  readonly kafka: KafkaSettings;
  readonly diagnostics: DiagnosticsLevel;
  readonly pgBin: string | null;
  /** Where the commands that speak HTTP go; null for the address in `running.json`. */
  readonly url: string | null;
  readonly noColor: boolean;
}

export interface SettingRow {
  readonly name: string;
  /** What a value looks like, for people. */
  readonly form: string;
  /** As it would be written; null when leaving it out means something else. */
  readonly default: string | null;
  readonly about: string;
}

/** In the order of the reference, which `npm run check` compares with it. */
export const settingsTable = [
  {
    name: "MILLRACE_PORT",
    form: "port",
    default: "4400",
    about: "HTTP and the console. Left out and taken: the next free one. Set and taken: `PORT_TAKEN`. `0` means any.",
  },
  {
    name: "MILLRACE_HOST",
    form: "name or address",
    default: "127.0.0.1",
    about: "Where HTTP listens. Beyond loopback `MILLRACE_KEY` must be set.",
  },
  {
    name: "MILLRACE_DATA",
    form: "folder",
    default: ".millrace",
    about: "Everything that Millrace writes. A relative path is taken from the folder of `app.ts`.",
  },
  {
    name: "MILLRACE_LOG_MEMORY",
    form: "size from 16MB",
    default: "128MB",
    about:
      "What the log keeps in memory: the newest batches, and what no segment has yet. Beyond it, old batches are read from the disk and appends wait.",
  },
  {
    name: "MILLRACE_DISK_RESERVE",
    form: "size",
    default: "256MB",
    about:
      "While less than this is free on the disk, appends are refused with `DISK_LOW`; what shares the disk can still write.",
  },
  {
    name: "MILLRACE_STORE",
    form: "postgres://…",
    default: null,
    about: "PostgreSQL 18 or later of your own, where mirrors and views live. Left out: the embedded one.",
  },
  {
    name: "MILLRACE_STORE_PORT",
    form: "port",
    default: "4432",
    about: "The embedded PostgreSQL, on loopback, by the same rules as `MILLRACE_PORT`.",
  },
  {
    name: "MILLRACE_ROW_CACHE",
    form: "size",
    default: "64MB",
    about:
      "Rows of views that are kept in memory for those who read them by their keys. Beyond it, those that are asked for least go. `0B` keeps none. Of each group of views.",
  },
  {
    name: "MILLRACE_KEY",
    form: "text of 16 characters or more",
    default: null,
    about: "The bearer that HTTP asks for, and that the command line sends.",
  },
  {
    name: "MILLRACE_ORIGINS",
    form: "origins with commas between",
    default: null,
    about: "Browser origins that may read and write, beside loopback: `https://shop.example`.",
  },
  {
    name: "MILLRACE_TOKEN_KEYS",
    form: "file or https://…",
    default: null,
    about:
      "The key set (JWKS) that callers' tokens are signed with, who read views that have a `policy`. Left out: no token is taken.",
  },
  {
    name: "MILLRACE_TOKEN_ISSUER",
    form: "text",
    default: null,
    about: "Who must have issued a caller's token. Left out: anybody with the key.",
  },
  {
    name: "MILLRACE_TOKEN_AUDIENCE",
    form: "texts with commas between",
    default: null,
    about: "For whom a caller's token must be. Left out: anybody.",
  },
  {
    name: "MILLRACE_IDEMPOTENCY_WINDOW",
    form: "duration from 1m",
    default: "24h",
    about: "How long, at least, the `Idempotency-Key` of an append is remembered.",
  },
  ...kafkaSettingsTable,
  {
    name: "MILLRACE_DIAGNOSTICS",
    form: "debug, info, warn, error or silent",
    default: "info",
    about: "How much the program says about itself on stderr: pretty on a terminal, else JSON lines.",
  },
  {
    name: "MILLRACE_PG_BIN",
    form: "folder",
    default: null,
    about: "`postgres` and `initdb` of PostgreSQL 18 or later, in place of those from npm.",
  },
  {
    name: "MILLRACE_URL",
    form: "http://…",
    default: null,
    about:
      "The Millrace that the command line speaks to. Left out: the address in `running.json` of the data directory.",
  },
  {
    name: "NO_COLOR",
    form: "anything",
    default: null,
    about: "No colours on a terminal (<https://no-color.org>).",
  },
] as const satisfies readonly SettingRow[];

export type SettingName = (typeof settingsTable)[number]["name"];

/** Throws `SETTING_INVALID`, naming the setting. `baseDirectory` is the folder of the definition module. */
export function readSettings(baseDirectory: string, environment: Environment = process.env): Settings {
  const read = (name: SettingName): string | null => environment[name]?.trim() || null;
  return {
    http: port("MILLRACE_PORT", 4_400, read("MILLRACE_PORT")),
    host: read("MILLRACE_HOST") ?? "127.0.0.1",
    dataDirectory: resolve(baseDirectory, read("MILLRACE_DATA") ?? ".millrace"),
    logMemoryBytes: size("MILLRACE_LOG_MEMORY", read("MILLRACE_LOG_MEMORY") ?? "128MB", 16 * 1024 ** 2),
    diskReserveBytes: size("MILLRACE_DISK_RESERVE", read("MILLRACE_DISK_RESERVE") ?? "256MB", 0),
    store: url(
      "MILLRACE_STORE",
      /^postgres(ql)?:$/,
      "postgres://user:password@host:5432/database",
      read("MILLRACE_STORE"),
    ),
    storePort: port("MILLRACE_STORE_PORT", 4_432, read("MILLRACE_STORE_PORT")),
    rowCacheBytes: size("MILLRACE_ROW_CACHE", read("MILLRACE_ROW_CACHE") ?? "64MB", 0),
    key: key(read("MILLRACE_KEY")),
    origins: origins(read("MILLRACE_ORIGINS")),
    tokens: tokens(read("MILLRACE_TOKEN_KEYS"), read("MILLRACE_TOKEN_ISSUER"), read("MILLRACE_TOKEN_AUDIENCE")),
    idempotencyWindowMs: duration("MILLRACE_IDEMPOTENCY_WINDOW", read("MILLRACE_IDEMPOTENCY_WINDOW") ?? "24h", 60_000),
    kafka: readKafkaSettings(read),
    diagnostics: parseDiagnosticsLevel(read("MILLRACE_DIAGNOSTICS") ?? "info"),
    pgBin: folder(baseDirectory, read("MILLRACE_PG_BIN")),
    url: url("MILLRACE_URL", /^https?:$/, "http://127.0.0.1:4400", read("MILLRACE_URL"))?.replace(/\/+$/, "") ?? null,
    noColor: read("NO_COLOR") !== null,
  };
}

/** Names that `loadEnvironment` set, so that an edited file can change them again. */
const fromFile = new Set<string>();

/**
 * Puts what `.env` in this folder says into the environment, where the definition module finds it too; the real
 * environment wins. Called again, it takes the file as it is by then. No file is no error; throws `SETTING_INVALID` for
 * one that cannot be read.
 */
export function loadEnvironment(
  directory: string,
  environment: Record<string, string | undefined> = process.env,
): void {
  const path = join(directory, ".env");
  let text = "";
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") {
      throw new MillraceError("SETTING_INVALID", `${path} cannot be read: ${(cause as Error).message}`, { cause });
    }
  }
  const said = parseEnv(text);
  for (const name of fromFile) {
    if (Object.hasOwn(said, name)) continue;
    delete environment[name];
    fromFile.delete(name);
  }
  for (const [name, value] of Object.entries(said)) {
    if (environment[name] !== undefined && !fromFile.has(name)) continue;
    environment[name] = value;
    fromFile.add(name);
  }
}

export interface Caller {
  /** `npm`, `pnpm`, `yarn` or `bun`, when one of them runs us. */
  readonly packageManager: string | null;
  /** Whether it runs us as its script or command, and would be the one to stop. */
  readonly launched: boolean;
}

/** What package managers tell the programs that they run. */
export function readCaller(environment: Environment = process.env): Caller {
  const agent = environment.npm_config_user_agent ?? "";
  return {
    packageManager: /^(npm|pnpm|yarn|bun)\//.exec(agent)?.[1] ?? null,
    launched: environment.npm_lifecycle_event !== undefined || environment.npm_command === "exec",
  };
}

function port(name: SettingName, portDefault: number, text: string | null): PortSetting {
  if (text === null) return { port: portDefault, required: false };
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535) {
    throw invalid(name, text, "a port", "It is a whole number from 0 to 65535; 0 means any that is free.");
  }
  return { port: Number(text), required: true };
}

function size(name: SettingName, text: string, bytesMin: number): number {
  const bytes = parseSizeBytes(text, name);
  if (bytes >= bytesMin && bytes <= Number.MAX_SAFE_INTEGER) return bytes;
  throw invalid(name, text, "large enough", `It is at least ${bytesMin / 1024 ** 2}MB.`);
}

function duration(name: SettingName, text: string, msMin: number): number {
  const ms = parseDurationMs(text, name);
  if (ms >= msMin && ms <= 365 * 86_400_000) return ms;
  throw invalid(name, text, "a span that can be kept", `It is ${msMin / 60_000}m to 365d.`);
}

function url(name: SettingName, protocol: RegExp, example: string, text: string | null): string | null {
  if (text === null) return null;
  if (!URL.canParse(text) || !protocol.test(new URL(text).protocol)) {
    // The value may hold a password: it is not repeated.
    throw new MillraceError("SETTING_INVALID", `${name} is no address like ${example}`, { details: { setting: name } });
  }
  return text;
}

function key(text: string | null): string | null {
  if (text === null) return null;
  if (text.length < 16 || !/^[\x21-\x7e]+$/.test(text)) {
    throw new MillraceError("SETTING_INVALID", "MILLRACE_KEY is too short, or has characters that no header carries", {
      hint: "Make one with: openssl rand -hex 32",
      details: { setting: "MILLRACE_KEY" },
    });
  }
  return text;
}

function origins(text: string | null): string[] {
  const list = (text ?? "").split(",").map((one) => one.trim());
  return list
    .filter((one) => one !== "")
    .map((one) => {
      if (URL.canParse(one) && new URL(one).origin === one.replace(/\/$/, "")) return new URL(one).origin;
      throw invalid("MILLRACE_ORIGINS", one, "an origin", "Write scheme and host, as in https://shop.example.");
    });
}

/** An issuer or an audience without keys would be taken for a check that nobody makes. */
function tokens(keys: string | null, issuer: string | null, audience: string | null): TokenSettings | null {
  if (keys === null && (issuer !== null || audience !== null)) {
    throw new MillraceError(
      "SETTING_INVALID",
      "MILLRACE_TOKEN_ISSUER and MILLRACE_TOKEN_AUDIENCE need MILLRACE_TOKEN_KEYS",
      {
        hint: "Set it to the address of the issuer's key set, or to a file that has it.",
        details: { setting: "MILLRACE_TOKEN_KEYS" },
      },
    );
  }
  const audiences = (audience ?? "").split(",").map((one) => one.trim());
  return keys === null ? null : { keys, issuer, audiences: audiences.filter((one) => one !== "") };
}

function folder(baseDirectory: string, text: string | null): string | null {
  return text === null ? null : resolve(baseDirectory, text);
}

function invalid(name: SettingName, value: string, what: string, hint: string): MillraceError {
  return new MillraceError("SETTING_INVALID", `${name} is ${JSON.stringify(value)}, which is not ${what}`, {
    hint,
    details: { setting: name },
  });
}
