/** Files of the console, looked up by path; where they come from is the caller's. */
import { createHash } from "node:crypto";
import { isInterface } from "./paths.ts";
import type { Reply } from "./route.ts";

export interface StaticFile {
  readonly type: string;
  readonly body: Buffer;
  /** Beside what the door sets: a content security policy, a cache rule. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Undefined when there is no such file. The path is decoded and has no `..` and no empty or hidden part. */
export type StaticFiles = (path: string) => Promise<StaticFile | undefined>;

/** Undefined when the path is not the console's. */
export async function answerFile(files: StaticFiles | null, method: string, path: string): Promise<Reply | undefined> {
  if (files === null || (method !== "GET" && method !== "HEAD") || isInterface(path)) return undefined;
  const decoded = safePath(path);
  const file = decoded === undefined ? undefined : await files(decoded);
  if (!file) return undefined;
  const hash = createHash("sha256").update(file.body).digest("base64url").slice(0, 22);
  return {
    kind: "body",
    status: 200,
    type: file.type,
    body: file.body,
    headers: { "cache-control": "no-cache", etag: `W/"${hash}"`, ...file.headers },
  };
}

function safePath(path: string): string | undefined {
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return undefined;
  }
  const parts = decoded.slice(1).split("/");
  const safe = parts.every((part, i) => !part.startsWith(".") && (part !== "" || i === parts.length - 1));
  return safe && !/[\0\\]/.test(decoded) ? decoded : undefined;
}
