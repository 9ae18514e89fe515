/** For tests: a server on loopback that answers as it is told, request by request, and remembers what was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Asked {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export type Answer = (response: ServerResponse, asked: Asked) => void | Promise<void>;

export class ScriptedServer implements AsyncDisposable {
  readonly asked: Asked[] = [];
  readonly #script: Answer[] = [];
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  static async open(): Promise<ScriptedServer> {
    const server = new ScriptedServer();
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** For the next requests, one each; what comes after the last one is answered with 500. */
  answers(...answers: Answer[]): this {
    this.#script.push(...answers);
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    const asked = { method: request.method ?? "", url: request.url ?? "", headers: request.headers, body };
    this.asked.push(asked);
    const answer = this.#script.shift() ?? json({ code: "INTERNAL_ERROR", detail: "the script has ended" }, 500);
    await answer(response, asked);
  }
}

export function json(value: unknown, status = 200, headers: Record<string, string> = {}): Answer {
  return (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
  };
}

export function problem(status: number, code: string, headers: Record<string, string> = {}): Answer {
  return json(
    { status, code, detail: `refused: ${code}`, hint: "do this", action: "wait", column: "x" },
    status,
    headers,
  );
}

export interface Sent {
  readonly event?: string;
  readonly id?: string;
  readonly data: unknown;
}

/** An event stream with these events, cut into pieces of `pieceBytes`; then it ends, is cut, or stays open. */
export function stream(
  events: readonly (Sent | string)[],
  then: "end" | "cut" | "stay" = "stay",
  pieceBytes = Number.POSITIVE_INFINITY,
): Answer {
  return async (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const text = events.map((one) => (typeof one === "string" ? one : eventText(one))).join("");
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      await new Promise((resolve) => response.write(bytes.subarray(at, at + pieceBytes), resolve));
    }
    if (then === "end") response.end();
    if (then === "cut") response.destroy();
  };
}

function eventText({ event, id, data }: Sent): string {
  const lines = [event && `event: ${event}`, id && `id: ${id}`, `data: ${JSON.stringify(data)}`];
  return `${lines.filter(Boolean).join("\n")}\n\n`;
}
