/** The HTTP interface as the console sees it, and hooks that keep its answers fresh. */
import { useEffect, useState } from "preact/hooks";

export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly hint?: string | undefined;
}

export interface SourceTable {
  readonly schema: string;
  readonly table: string;
  readonly topic: string;
  readonly key: readonly string[] | null;
  readonly appendOnly: boolean;
  readonly columns: readonly {
    name: string;
    sourceType: string;
    storeType: string;
    nullable: boolean;
    carriedAsText: boolean;
  }[];
}

export interface SourceStatus {
  readonly name: string;
  readonly type: string;
  readonly state: {
    readonly kind:
      | "connecting"
      | "snapshotting"
      | "streaming"
      | "waiting"
      | "failed"
      | "paused"
      | "removed"
      | "stopped";
    readonly slot?: "kept" | "dropped";
    readonly sinceMs?: number;
    readonly rows?: number;
    readonly rowsEstimated?: number;
    readonly error?: Problem;
    readonly retryAtMs?: number;
  };
  readonly url: string;
  readonly tables: readonly SourceTable[];
  readonly changes: number;
  readonly transactions: number;
  readonly position: string | null;
  readonly lagBytes: number | null;
  readonly lagMs: number | null;
  /** Tables that are read while the others stream. */
  readonly reading?: readonly {
    readonly table: string;
    readonly reason: string;
    readonly waiting: boolean;
    readonly rows: number;
    readonly rowsEstimated: number;
    readonly remainingMs: number | null;
  }[];
  readonly slot: string | null;
  readonly wal: { readonly heldBytes: number; readonly safeBytes: number | null; readonly status: string } | null;
  readonly orphans: readonly {
    readonly kind: "slot" | "publication";
    readonly name: string;
    readonly heldBytes: number | null;
    readonly sql: string;
  }[];
  readonly warnings: readonly string[];
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
  readonly sql: string;
  readonly class: string;
  readonly columns: readonly { name: string; type: string; nullable: boolean }[];
  readonly key: readonly string[];
  readonly state: {
    readonly kind: "building" | "live" | "failed" | "removed";
    readonly reason?: string;
    readonly rowsDone?: number;
    readonly rowsEstimated?: number | null;
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

/** Fetches JSON; a failure is a `Problem` in the words of the server, or of the browser when it cannot be reached. */
export async function fetchJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, { headers: { accept: "application/json" }, ...(signal ? { signal } : {}) });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw problem(
      "NOT_RUNNING",
      "Millrace does not answer at this address",
      "Is it still running? Look at the terminal where it was started.",
    );
  }
  if (response.ok) return (await response.json()) as T;
  const body = (await response.json().catch(() => null)) as {
    code?: string;
    detail?: string;
    title?: string;
    hint?: string;
  } | null;
  throw problem(
    body?.code ?? `HTTP_${response.status}`,
    body?.detail ?? body?.title ?? response.statusText,
    body?.hint,
  );
}

function problem(code: string, message: string, hint?: string): Problem {
  return { code, message, hint };
}

function asProblem(error: unknown): Problem {
  if (typeof error === "object" && error !== null && "code" in error && "message" in error) return error as Problem;
  return problem("CONSOLE_FAILED", String(error));
}

/** Asks again every `everyMs` while the page is visible; the last good answer stays when a later one fails. */
export function usePolled<T>(path: string, everyMs = 1_000): Loaded<T> {
  const [state, setState] = useState<Loaded<T>>({ kind: "loading" });
  useEffect(() => {
    setState({ kind: "loading" });
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async () => {
      if (!document.hidden) {
        try {
          const value = await fetchJson<T>(path, controller.signal);
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
  }, [path, everyMs]);
  return state;
}

export interface List<T> {
  readonly items: readonly T[];
}
