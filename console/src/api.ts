/** The HTTP interface as the console sees it, and hooks that keep its answers fresh. */
import { useEffect, useRef, useState } from "preact/hooks";

export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly hint?: string | undefined;
}

export interface TopicInfo {
  readonly name: string;
  readonly id: string;
  readonly readOnly: boolean;
  readonly createdAt: string;
  readonly sizeBytes: number;
  readonly partitions: readonly {
    partition: number;
    logStart: number;
    highWatermark: number;
    lastStable: number;
    leaderEpoch: number;
  }[];
  readonly settings: Readonly<Record<string, unknown>>;
}

export interface ViewInfo {
  readonly name: string;
  readonly group: string;
  readonly sql: string;
  readonly class: string;
  readonly columns: readonly { name: string; type: string; nullable: boolean }[];
  /** Null where rows may be there several times. */
  readonly key: readonly string[] | null;
  /** Which rows callers are shown; absent where everybody is shown all of them. */
  readonly policy?: string;
  /** Of a view that is run again as a whole. */
  readonly refresh?: { readonly every: string; readonly behind: boolean };
  readonly window?: {
    readonly ends: string;
    readonly grace: string;
    readonly session?: { readonly gap: string; readonly by: readonly string[] };
    readonly emit: "updates" | "final";
  };
  readonly watermarks?: readonly { readonly topic: string; readonly at: string | null }[];
  /** Of a view that is published to a topic. */
  readonly publishing?: {
    readonly topic: string;
    readonly state: { readonly kind: string; readonly error?: Problem };
    readonly behind: number | null;
  };
  readonly state: {
    readonly kind: "building" | "live" | "failed" | "removed";
    readonly reason?: string;
    readonly rowsDone?: number;
    readonly rowsEstimated?: number | null;
    /** The version that is to take this one's place, while it is built. */
    readonly replacement?: { readonly reason: string };
    readonly error?: Problem;
  };
  readonly rowsEstimated: number;
  readonly changes: number;
}

export interface NodeInfo {
  readonly version: string;
  readonly logId: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly mode: string;
  readonly store: {
    kind: string;
    state: string;
    version: number | string;
    reader: { host: string; port: number; database: string; user: string };
  };
  /** Of views; `main` first. */
  readonly groups: readonly { readonly name: string; readonly state: string; readonly error: Problem | null }[];
}

export interface TopicEvent {
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number | string;
  readonly key: unknown;
  readonly value: unknown;
}

export type Loaded<T> =
  | { readonly kind: "loading" }
  | { readonly kind: "ready"; readonly value: T; readonly stale: Problem | null }
  | { readonly kind: "failed"; readonly problem: Problem };

export interface Ask {
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

/** Reads JSON; a failure is a `Problem` in the words of the server, or of the browser when it cannot be reached. */
export async function fetchJson<T>(path: string, { method = "GET", body, signal }: Ask = {}): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers: { accept: "application/json", ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw problem(
      "NOT_RUNNING",
      "Millrace does not answer at this address",
      "Is it still running? Look at the terminal where it was started.",
    );
  }
  if (response.ok) return (await response.json()) as T;
  throw problemIn(await response.json().catch(() => null), response);
}

/** A problem document, or what the registry of schemas answers in its place. */
function problemIn(body: unknown, { status, statusText }: Response): Problem {
  const { code, error_code, detail, message, title, hint } = (body ?? {}) as Partial<Record<string, string>>;
  return problem(code ?? String(error_code ?? `HTTP_${status}`), detail ?? message ?? title ?? statusText, hint);
}

function problem(code: string, message: string, hint?: string): Problem {
  return { code, message, hint };
}

export function asProblem(error: unknown): Problem {
  if (typeof error === "object" && error !== null && "code" in error && "message" in error) return error as Problem;
  return problem("CONSOLE_FAILED", String(error));
}

/**
 * Asks again every `everyMs` while the page is visible, and at once when `edition` changes; the last good answer stays when
 * a later one fails.
 */
export function usePolled<T>(path: string, everyMs = 1_000, edition = 0): Loaded<T> {
  const [state, setState] = useState<Loaded<T>>({ kind: "loading" });
  const asked = useRef(path);
  useEffect(() => {
    if (asked.current !== path) setState({ kind: "loading" });
    asked.current = path;
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async () => {
      if (!document.hidden) {
        try {
          const value = await fetchJson<T>(path, { signal: controller.signal });
          setState({ kind: "ready", value, stale: null });
        } catch (error) {
          if (controller.signal.aborted) return;
          const failure = asProblem(error);
          setState((last) =>
            last.kind === "ready" ? { ...last, stale: failure } : { kind: "failed", problem: failure },
          );
        }
      }
      if (!controller.signal.aborted) timer = setTimeout(ask, everyMs);
    };
    void ask();
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
  }, [path, everyMs, edition]);
  return state;
}

export interface List<T> {
  readonly items: readonly T[];
}
