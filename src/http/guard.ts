/**
 * Who may talk to the door, before anything else is looked at. A laptop's port can be reached by every web page that
 * its browser shows, so a page of another origin is refused, and so is a name that somebody else's DNS points here.
 *
 * Always true: a request that a browser sends for a page which is neither of this door, of loopback nor of an allowed
 * origin changes nothing and reads nothing.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";
import { MillraceError } from "../base/errors.ts";

export interface GuardSettings {
  readonly host: string;
  readonly key: string | null;
  readonly origins: readonly string[];
}

export interface Guard {
  /** Throws `REQUEST_FORBIDDEN` for a foreign host name or origin. Answers the headers that the browser needs to see. */
  admit(method: string, headers: IncomingHttpHeaders): Readonly<Record<string, string>>;
  /** Throws `REQUEST_UNAUTHENTICATED`. With `basic` the key may also be a password, whatever the user is called. */
  authenticate(headers: IncomingHttpHeaders, options?: { readonly basic?: boolean }): void;
  holdsKey(headers: IncomingHttpHeaders): boolean;
  /** False where everybody who is admitted is taken to hold it. */
  readonly asksForKey: boolean;
}

const requestHeaders =
  "Authorization, Content-Encoding, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Millrace-After, Millrace-Key, Millrace-Rows, Millrace-Seen, Prefer, Range, Range-Unit";
const answerHeaders =
  "Content-Range, ETag, Idempotent-Replayed, Link, Location, Millrace-Stale, Millrace-Suggestion, Millrace-Token, Millrace-Warning, Preference-Applied, Range-Unit, Retry-After";

/** Throws `KEY_REQUIRED` and `SETTING_INVALID`. */
export function openGuard(settings: GuardSettings): Guard {
  const loopback = isLoopbackHost(settings.host);
  if (!loopback && settings.key === null) {
    throw new MillraceError("KEY_REQUIRED", `listening on ${settings.host} needs a key`, {
      hint: "Set MILLRACE_KEY to a long random text, or leave MILLRACE_HOST at 127.0.0.1.",
    });
  }
  const origins = new Set(settings.origins.map(checkedOrigin));
  const hosts = new Set([...origins].map((origin) => new URL(origin).hostname));
  const keyHash = settings.key === null ? null : digest(settings.key);

  const holdsKey = (headers: IncomingHttpHeaders) => {
    if (keyHash === null) return true;
    const bearer = /^bearer +(\S+) *$/i.exec(headers.authorization ?? "")?.[1];
    // Equal lengths by hashing, so that the comparison takes the same time for every key.
    return bearer !== undefined && timingSafeEqual(digest(bearer), keyHash);
  };

  const admitHost = (given: string | undefined): void => {
    const host = hostNameOf(given);
    // Beyond loopback the bearer is asked for, which no browser sends by itself: names need no guarding there.
    if (!loopback || isLoopbackHost(host) || hosts.has(host)) return;
    throw new MillraceError("REQUEST_FORBIDDEN", `the host name ${JSON.stringify(host)} is foreign to this door`, {
      hint: "Use 127.0.0.1 or localhost; a proxy's public origin goes into MILLRACE_ORIGINS.",
    });
  };

  let admittedHost: string | undefined;
  return {
    admit(method, headers) {
      // Most requests name the host that the one before them named.
      if (headers.host === undefined || headers.host !== admittedHost) admitHost(headers.host);
      admittedHost = headers.host;
      const origin = headers.origin;
      if (origin === undefined) {
        refuseCrossSite(method, headers, loopback);
        return {};
      }
      if (!origins.has(origin) && !isLoopbackOrigin(origin) && !isOwnOrigin(origin, headers.host)) {
        throw new MillraceError("REQUEST_FORBIDDEN", `pages of ${JSON.stringify(origin)} may not use this door`, {
          hint: "Add the origin to MILLRACE_ORIGINS, with commas between several.",
        });
      }
      return corsHeaders(method, origin, headers);
    },
    authenticate(headers, options) {
      if (holdsKey(headers) || (options?.basic && holdsKey(bearerOfBasic(headers)))) return;
      const missing = headers.authorization === undefined;
      throw new MillraceError("REQUEST_UNAUTHENTICATED", missing ? "a key is needed" : "the key is not known", {
        hint: "Send the value of MILLRACE_KEY as Authorization: Bearer <key>.",
      });
    },
    holdsKey,
    asksForKey: keyHash !== null,
  };
}

/** The password of HTTP Basic (RFC 7617) as a bearer; what is no such header, as it is. */
function bearerOfBasic(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const encoded = /^basic +([A-Za-z0-9+/=]+) *$/i.exec(headers.authorization ?? "")?.[1];
  if (encoded === undefined) return headers;
  const pair = Buffer.from(encoded, "base64").toString();
  return { authorization: `Bearer ${pair.slice(pair.indexOf(":") + 1)}` };
}

/** True for `localhost`, names below it, 127.0.0.0/8 and ::1. */
export function isLoopbackHost(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, "$1");
  if (name === "localhost" || name.endsWith(".localhost") || name === "::1") return true;
  return isIP(name) === 4 && name.startsWith("127.");
}

/** A request without `Origin` that the browser itself calls foreign: an image, a script, a form of another site. */
function refuseCrossSite(method: string, headers: IncomingHttpHeaders, loopback: boolean): void {
  const site = headers["sec-fetch-site"];
  if (site === undefined || site === "same-origin" || site === "none") return;
  if (site === "same-site" && loopback) return;
  // A link to the console, or to anything else that is only read, shows nothing to the page that holds the link.
  if (method === "GET" && headers["sec-fetch-mode"] === "navigate" && headers["sec-fetch-dest"] === "document") return;
  throw new MillraceError("REQUEST_FORBIDDEN", "pages of other sites may not use this door", {
    hint: "Add the page's origin to MILLRACE_ORIGINS and fetch with CORS.",
  });
}

function corsHeaders(method: string, origin: string, headers: IncomingHttpHeaders): Record<string, string> {
  const cors: Record<string, string> = {
    "access-control-allow-origin": origin,
    "access-control-expose-headers": answerHeaders,
    vary: "Origin",
  };
  if (method !== "OPTIONS" || headers["access-control-request-method"] === undefined) return cors;
  cors["access-control-allow-methods"] = "GET, HEAD, POST, PUT, PATCH, DELETE";
  cors["access-control-allow-headers"] = requestHeaders;
  cors["access-control-max-age"] = "600";
  if (headers["access-control-request-private-network"] === "true") {
    cors["access-control-allow-private-network"] = "true";
  }
  return cors;
}

function isLoopbackOrigin(origin: string): boolean {
  const url = URL.canParse(origin) ? new URL(origin) : undefined;
  return url !== undefined && /^https?:$/.test(url.protocol) && isLoopbackHost(url.hostname);
}

function isOwnOrigin(origin: string, host: string | undefined): boolean {
  return host !== undefined && (origin === `http://${host}` || origin === `https://${host}`);
}

function hostNameOf(host: string | undefined): string {
  if (host === undefined || host === "") return "";
  const text = `http://${host}`;
  if (/[/?#@\\\s]/.test(host) || !URL.canParse(text)) return host;
  return new URL(text).hostname;
}

function checkedOrigin(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol) && url.origin === text.replace(/\/$/, "").toLowerCase()) return url.origin;
  throw new MillraceError("SETTING_INVALID", `MILLRACE_ORIGINS has ${JSON.stringify(text)}, which is no origin`, {
    hint: "Write origins as https://shop.example or http://localhost:3000, with commas between.",
  });
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
