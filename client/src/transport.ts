/** Requests to one server: address, key, tokens, and answers that are errors. */
import { errorOfAnswer, MillraceClientError } from "./client-error.ts";

export interface TransportOptions {
  readonly url: string;
  readonly key: string | (() => string | Promise<string>) | null;
  readonly fetch: typeof globalThis.fetch;
}

export interface RequestOptions {
  readonly method?: "GET" | "POST";
  readonly query?: readonly (readonly [string, string])[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal;
}

/** A token lets a read see what was written or read before it: views share one, each topic has its own. */
export type TokenScope = "views" | `topic ${string}`;

const writtenMax = 16;

export class Transport {
  readonly #base: string;
  readonly #key: TransportOptions["key"];
  readonly #fetch: typeof globalThis.fetch;
  readonly #tokens = new Map<TokenScope, string>();
  /** Of what was written to topics since views were read: what the next read of a view is to see. The newest last. */
  #written: readonly string[] = [];

  constructor({ url, key, fetch }: TransportOptions) {
    this.#base = new URL(url).href.replace(/[?#].*$/, "").replace(/\/+$/, "");
    this.#key = key;
    this.#fetch = fetch;
  }

  /** The answer, whatever its status. Throws `UNREACHABLE`, or the signal's reason. */
  async open(path: string, options: RequestOptions = {}): Promise<Response> {
    const search = new URLSearchParams((options.query ?? []).map(([name, value]) => [name, value]));
    const query = search.toString();
    const key = typeof this.#key === "function" ? await this.#key() : this.#key;
    try {
      return await this.#fetch(`${this.#base}${path}${query === "" ? "" : `?${query}`}`, {
        method: options.method ?? "GET",
        headers: {
          ...(key === null ? {} : { authorization: `Bearer ${key}` }),
          ...options.headers,
        },
        ...(options.body === undefined ? {} : { body: options.body }),
        ...(options.signal ? { signal: options.signal } : {}),
        cache: "no-store",
      });
    } catch (cause) {
      options.signal?.throwIfAborted();
      throw new MillraceClientError("UNREACHABLE", `${this.#base} does not answer`, {
        cause,
        action: "retry",
        hint: "Is the server running, and is this its address?",
      });
    }
  }

  /** A read that sees what this client has written or read in the scope. Throws what the server refuses. */
  async read(
    path: string,
    scope: TokenScope,
    options: RequestOptions & { readonly after?: string | undefined },
  ): Promise<Response> {
    const { after, ...rest } = options;
    const token = after ?? this.#tokens.get(scope);
    // What this client has read of views is not to be gone behind, which is no reason to run one of them again.
    const name = after === undefined && scope === "views" ? "millrace-seen" : "millrace-after";
    const written = scope === "views" && after === undefined ? this.#written : [];
    const headers = {
      ...(token === undefined ? {} : { [name]: token }),
      ...(written.length === 0 ? {} : { "millrace-after": written.join(",") }),
    };
    const answer = await this.open(path, { ...rest, headers: { ...rest.headers, ...headers } });
    if (answer.ok) {
      this.#seen(written);
      // What a view was that failed is no place to go on from: other views are further.
      if (!answer.headers.has("millrace-stale")) this.keepToken(scope, answer.headers.get("millrace-token"));
      return answer;
    }
    const error = await errorOfAnswer(answer);
    // The server was built anew since: what the token named is gone, and nothing is to be waited for.
    const isOurs = after === undefined && (token !== undefined || written.length > 0);
    if (!isOurs || !/^TOKEN_(INVALID|FOREIGN)$/.test(error.code)) throw error;
    this.#tokens.delete(scope);
    this.#seen(written);
    return this.read(path, scope, rest);
  }

  /** Throws what the server refuses. Never repeated by itself: a write that was cut off may have been done. */
  async write(
    path: string,
    scope: TokenScope,
    body: unknown,
    { headers, signal }: Pick<RequestOptions, "headers" | "signal"> = {},
  ): Promise<unknown> {
    const answer = await this.open(path, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
      ...(signal ? { signal } : {}),
    });
    if (!answer.ok) throw await errorOfAnswer(answer);
    const token = answer.headers.get("millrace-token");
    this.keepToken(scope, token);
    // As many as a read may name; the oldest are the likeliest to be there by now.
    if (token !== null) this.#written = [...this.#written, token].slice(-writtenMax);
    return jsonOf(answer);
  }

  /** Views have what was written then; what was written since is still to come. */
  #seen(written: readonly string[]): void {
    this.#written = this.#written.filter((token) => !written.includes(token));
  }

  token(scope: TokenScope): string | undefined {
    return this.#tokens.get(scope);
  }

  keepToken(scope: TokenScope, token: string | null): void {
    if (token !== null && token !== "") this.#tokens.set(scope, token);
  }
}

export async function jsonOf(answer: Response): Promise<unknown> {
  const text = await answer.text();
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new MillraceClientError("ANSWER_INVALID", `the answer is no JSON: ${text.slice(0, 100)}`, {
      status: answer.status,
      cause,
    });
  }
}
