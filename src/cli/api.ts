/**
 * The HTTP door of a running Millrace, as the commands speak to it: at MILLRACE_URL, else at the address that the
 * program left in `running.json` of the data directory.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type ErrorCode, errorCodes } from "../base/error-codes.ts";
import { MillraceError } from "../base/errors.ts";
import type { Settings } from "../settings.ts";

const otherAddress = "Is MILLRACE_URL the address of a Millrace of this version?";

export interface Api {
  readonly address: string;
  /** Numbers keep their digits when the answer is printed again. Throws the error that the door answers, `NOT_RUNNING`. */
  get(path: string, signal?: AbortSignal): Promise<unknown>;
  getText(path: string): Promise<string>;
  post(path: string, type: string, body: string, headers?: Readonly<Record<string, string>>): Promise<unknown>;
  /** The value as JSON. */
  put(path: string, value: unknown): Promise<unknown>;
  patch(path: string, value: unknown): Promise<unknown>;
  delete(path: string): Promise<unknown>;
}

/** Throws `NOT_RUNNING` when no address is known. */
export function openApi(settings: Settings, fetcher: typeof fetch = fetch): Api {
  const address = settings.url ?? runningAddress(settings.dataDirectory);
  const ask = async (path: string, init: RequestInit): Promise<string> => {
    const headers = new Headers(init.headers);
    if (settings.key !== null) headers.set("authorization", `Bearer ${settings.key}`);
    let response: Response;
    let text: string;
    try {
      response = await fetcher(`${address}${path}`, { ...init, headers });
      text = await response.text();
    } catch (cause) {
      if (init.signal?.aborted) throw cause;
      throw new MillraceError("NOT_RUNNING", `no Millrace answers at ${address}`, {
        hint: "Start one with millrace dev, or set MILLRACE_URL to its address.",
        cause,
      });
    }
    if (response.ok) return text;
    throw errorOf(response.status, text, address);
  };
  const read = (text: string): unknown => {
    try {
      return parseExact(text);
    } catch (cause) {
      throw new MillraceError("REQUEST_INVALID", `${address} answered what is no JSON`, { hint: otherAddress, cause });
    }
  };
  const send = async (method: string, path: string, type: string, body: string, headers = {}): Promise<unknown> =>
    read(await ask(path, { method, headers: { "content-type": type, ...headers }, body }));
  return {
    address,
    get: async (path, signal) => read(await ask(path, signal === undefined ? {} : { signal })),
    getText: (path) => ask(path, {}),
    post: (path, type, body, headers) => send("POST", path, type, body, headers),
    put: (path, value) => send("PUT", path, "application/json", JSON.stringify(value)),
    patch: (path, value) => send("PATCH", path, "application/json", JSON.stringify(value)),
    delete: async (path) => read(await ask(path, { method: "DELETE" })),
  };
}

function runningAddress(dataDirectory: string): string {
  const path = join(dataDirectory, "running.json");
  const hint = "Start one with millrace dev in the folder of app.ts, or set MILLRACE_URL (or MILLRACE_DATA).";
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    const missing = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    const why = missing ? {} : { cause };
    throw new MillraceError("NOT_RUNNING", `no Millrace runs on ${dataDirectory}`, { hint, ...why });
  }
  try {
    const running = JSON.parse(text) as { addresses: { http: string } };
    return new URL(running.addresses.http).href.replace(/\/$/, "");
  } catch (cause) {
    throw new MillraceError("NOT_RUNNING", `${path} cannot be read`, { hint, cause });
  }
}

/** A problem document as the error that it was, else one that says what came. */
function errorOf(status: number, body: string, address: string): MillraceError {
  try {
    const { code, detail, hint, type, title, action, status: _, ...details } = JSON.parse(body);
    const { error_code: number, message } = details;
    if (typeof number === "number" && typeof message === "string") return registryError(status, number, message);
    if (typeof detail === "string" && Object.hasOwn(errorCodes, code)) {
      return new MillraceError(code as ErrorCode, detail, { details, ...(typeof hint === "string" ? { hint } : {}) });
    }
  } catch {
    // Not ours: said below.
  }
  return new MillraceError("REQUEST_INVALID", `${address} answered ${status}: ${body.trim().slice(0, 200)}`, {
    hint: otherAddress,
  });
}

/** The registry answers in Confluent's form, whose numbers begin with the status. */
function registryError(status: number, number: number, message: string): MillraceError {
  const byNumber: Readonly<Record<number, ErrorCode>> = {
    401: "REQUEST_UNAUTHENTICATED",
    404: "ROUTE_UNKNOWN",
    409: "SCHEMA_INCOMPATIBLE",
    40401: "SUBJECT_UNKNOWN",
    40402: "SCHEMA_VERSION_UNKNOWN",
    40403: "SCHEMA_UNKNOWN",
    40404: "SUBJECT_DELETED",
    40405: "SUBJECT_NOT_DELETED",
    40406: "SUBJECT_DELETED",
    40407: "SUBJECT_NOT_DELETED",
    42201: "SCHEMA_INVALID",
    42202: "SCHEMA_VERSION_INVALID",
    42205: "REGISTRY_READ_ONLY",
    42206: "SCHEMA_REFERENCED",
    42208: "SUBJECT_INVALID",
    42209: "SCHEMA_TOO_LARGE",
  };
  return new MillraceError(byNumber[number] ?? "REQUEST_INVALID", message, { details: { status, number } });
}

/** `JSON.parse` that prints as it was written: a number that a double would round stays as its text. */
export function parseExact(text: string): unknown {
  return JSON.parse(text, (_key, value, context?: { source?: string }) => {
    if (typeof value !== "number" || context?.source === undefined) return value;
    return String(value) === context.source ? value : rawJson(context.source);
  });
}

function rawJson(text: string): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text);
}
