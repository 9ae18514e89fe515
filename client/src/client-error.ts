/** What a Millrace server refused, or why it could not be reached. */
export interface ClientErrorDetails {
  /** The HTTP status; null when there was no answer. */
  readonly status?: number | null;
  /** What to do about it. */
  readonly hint?: string | null;
  /** What a caller can do: `retry`, `fix-request`, `fix-setup`, `wait`, `call-operator`. */
  readonly action?: string | null;
  readonly retryAfterMs?: number | null;
  /** The other members of the problem document. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

export class MillraceClientError extends Error {
  /** As the server's reference lists them (`VIEW_UNKNOWN`), or `UNREACHABLE`, `ANSWER_INVALID`, `CLOSED` of the client itself. */
  readonly code: string;
  readonly status: number | null;
  readonly hint: string | null;
  readonly action: string | null;
  readonly retryAfterMs: number | null;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: string, message: string, details: ClientErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "MillraceClientError";
    this.code = code;
    this.status = details.status ?? null;
    this.hint = details.hint ?? null;
    this.action = details.action ?? null;
    this.retryAfterMs = details.retryAfterMs ?? null;
    this.details = details.details ?? {};
  }
}

/** From a problem document (RFC 9457), or from whatever a proxy answered in its place. */
export async function errorOfAnswer(answer: Response): Promise<MillraceClientError> {
  const { status } = answer;
  const retryAfterMs = retryAfter(answer.headers.get("retry-after"));
  const text = await answer.text().catch(() => "");
  const problem = parse(text);
  if (problem && typeof problem.code === "string") {
    const { type: _type, title: _title, status: _status, code, detail, hint, action, ...details } = problem;
    return new MillraceClientError(code as string, typeof detail === "string" ? detail : `${code}`, {
      status,
      retryAfterMs,
      hint: typeof hint === "string" ? hint : null,
      action: typeof action === "string" ? action : null,
      details,
    });
  }
  return new MillraceClientError("ANSWER_INVALID", `the answer was status ${status}: ${text.slice(0, 200)}`, {
    status,
    retryAfterMs,
    hint: "Is the address that of a Millrace server, and what stands in between?",
  });
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Seconds; a date is left to the backoff. */
function retryAfter(header: string | null): number | null {
  return header !== null && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : null;
}
