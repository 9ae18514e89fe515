/**
 * What the program says about itself, through pino: pretty on a terminal, else JSON lines, on stderr.
 *
 * Always true: passwords in URLs and the values of fields that hold secrets are not printed, and a Millrace error
 * is printed with its code, hint and causes. Never called inside a loop over records.
 */
import { styleText } from "node:util";
import { type DestinationStream, pino } from "pino";
import pretty from "pino-pretty";
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import { lineOf } from "./line.ts";

export const diagnosticsLevels = ["debug", "info", "warn", "error", "silent"] as const;
export type DiagnosticsLevel = (typeof diagnosticsLevels)[number];

export interface DiagnosticsSettings {
  readonly level: DiagnosticsLevel;
  /** Lines for people, in place of JSON. */
  readonly pretty: boolean;
  readonly colours: boolean;
  /** Where the lines go; stderr when left out. */
  readonly destination?: NodeJS.WritableStream;
}

/** Throws `SETTING_INVALID`. */
export function parseDiagnosticsLevel(text: string): DiagnosticsLevel {
  const level = diagnosticsLevels.find((one) => one === text);
  if (level) return level;
  throw new MillraceError("SETTING_INVALID", `MILLRACE_DIAGNOSTICS is ${JSON.stringify(text)}, which is no level`, {
    hint: `Use one of ${diagnosticsLevels.join(", ")}.`,
  });
}

export function openDiagnostics(settings: DiagnosticsSettings): Diagnostics {
  const destination = settings.destination ?? process.stderr;
  const dim = (text: string): string => (settings.colours ? styleText("dim", text, { validateStream: false }) : text);
  const stream = settings.pretty
    ? pretty({
        colorize: settings.colours,
        translateTime: "SYS:HH:MM:ss.l",
        customColors: "debug:blue,info:green,warn:yellow,error:red,message:reset",
        ignore: "pid,hostname",
        hideObject: true,
        errorLikeObjectKeys: [],
        messageFormat: (fields) => lineOf(fields, dim),
        sync: true,
        destination,
      })
    : destination;
  // stderr answers each write at once or throws; a closed pipe must not end the program that reports into it.
  destination.on?.("error", () => {});
  const logger = pino(
    { level: settings.level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    stream as DestinationStream,
  );
  return new PinoDiagnostics(logger);
}

interface Lines {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Lines;
}

class PinoDiagnostics implements Diagnostics {
  readonly #lines: Lines;

  constructor(lines: Lines) {
    this.#lines = lines;
  }

  debug(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#lines.debug(redact(fields), redactText(message));
  }

  info(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#lines.info(redact(fields), redactText(message));
  }

  warn(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#lines.warn(redact(fields), redactText(message));
  }

  error(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#lines.error(redact(fields), redactText(message));
  }

  child(fields: Readonly<Record<string, unknown>>): Diagnostics {
    return new PinoDiagnostics(this.#lines.child(redact(fields)));
  }
}

const secretField = /pass(word|wd)?$|secret|authorization|cookie|bearer|api_?key|credential/i;
const depthMax = 6;

/** A copy that can be printed: secrets replaced, errors as objects, nothing deeper than `depthMax`. */
function redact(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return redactValue(fields, 0) as Record<string, unknown>;
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value === "string") return redactText(value);
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null) return value;
  if (depth >= depthMax) return "…";
  if (value instanceof Error) return errorFields(value, depth);
  if (value instanceof URL) return redactText(value.href);
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  if (Array.isArray(value)) return value.map((one) => redactValue(one, depth + 1));
  if (value instanceof Date) return value;
  const out: Record<string, unknown> = {};
  for (const [name, one] of Object.entries(value)) {
    out[name] =
      secretField.test(name) && one !== null && one !== undefined ? "[redacted]" : redactValue(one, depth + 1);
  }
  return out;
}

function errorFields(error: Error, depth: number): Record<string, unknown> {
  const known = MillraceError.is(error);
  return {
    ...("code" in error ? { code: error.code } : { type: error.name }),
    message: redactText(error.message),
    ...(known && error.hint !== undefined ? { hint: redactText(error.hint) } : {}),
    ...(known && Object.keys(error.details).length > 0 ? { details: redactValue(error.details, depth + 1) } : {}),
    // Where a failure that nobody foresaw came from; for the others the code says it.
    ...(!known || error.code === "INTERNAL_ERROR" ? { stack: redactText(error.stack ?? "") } : {}),
    ...(error.cause === undefined ? {} : { cause: redactValue(error.cause, depth + 1) }),
  };
}

/** The password in `scheme://user:password@host`, and what follows `Bearer`. */
function redactText(text: string): string {
  if (!text.includes("://") && !/bearer /i.test(text)) return text;
  return text
    .replace(/([a-z][a-z0-9+.-]*:\/\/[^\s:@/?#]*):[^\s/?#]*@/gi, "$1:[redacted]@")
    .replace(/([?&](?:password|sslpassword)=)[^&\s"']*/gi, "$1[redacted]")
    .replace(/\b(bearer )[^\s"',]+/gi, "$1[redacted]");
}
