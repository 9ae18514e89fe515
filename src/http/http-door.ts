/**
 * The HTTP door: sockets, limits, and one pass from a request to its answer. What is answered stands in the route
 * table (`routes.ts`); this file decides nothing about topics or views.
 *
 * Always true: every request ends with an answer or a closed connection; requests of one connection are answered in
 * their order, one at a time; an error that nobody foresaw is told with a reference and stops nothing else.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { MillraceError } from "../base/errors.ts";
import { listen } from "../base/listen.ts";
import type { Counter, Histogram } from "../base/metrics.ts";
import { anyone, type Caller } from "../views/policy/caller.ts";
import { Callers, errorFor, type KnownCaller, privateReply } from "./callers.ts";
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import { defaultHttpLimits, type HttpLimits } from "./door-settings.ts";
import { EventStreams } from "./event-streams.ts";
import { expiringFeed } from "./expiring-feed.ts";
import { type Guard, openGuard } from "./guard.ts";
import { checkParameters } from "./parameters.ts";
import { isHook, isInterface, isRegistry } from "./paths.ts";
import { internalProblem, problemOf, rawProblem } from "./problem.ts";
import { parseQueryString } from "./query-string.ts";
import { registryProblemOf } from "./registry-answers.ts";
import { writeBody, writeFeedHead } from "./reply.ts";
import { Abort, type CallTools, type Exchange, RequestCall } from "./request-call.ts";
import type { Call, Reply, Route } from "./route.ts";
import { Router } from "./router.ts";
import { createRoutes } from "./routes.ts";
import { answerFile } from "./static-files.ts";

export interface HttpDoor {
  readonly port: number;
  /** `http://127.0.0.1:4400` */
  readonly url: string;
  /** Takes nothing new, lets requests finish for `drainMs`, ends feeds and long polls, closes every connection. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Throws `PORT_TAKEN`, `KEY_REQUIRED`, `SETTING_INVALID`. */
export async function openHttpDoor(deps: HttpDoorDependencies): Promise<HttpDoor> {
  const door = new Door(deps);
  await door.open();
  return door;
}

/** One connection: the requests that it has sent and that are not answered yet, the first of which is being answered. */
interface Connection {
  readonly peer: string;
  readonly exchanges: Exchange[];
  /** Answers them, when none of them is being answered. */
  readonly serve: () => void;
}

const endOfTurn = Promise.resolve();

/** What is counted of requests with the same method, route and status. */
interface Counted {
  readonly requests: ReturnType<Counter["series"]>;
  readonly seconds: ReturnType<Histogram["series"]>;
}

class Door implements HttpDoor {
  port = 0;
  url = "";
  readonly #deps: HttpDoorDependencies;
  readonly #limits: HttpLimits;
  readonly #guard: Guard;
  readonly #callers: Callers;
  readonly #router: Router;
  readonly #streams: EventStreams;
  readonly #server: Server;
  readonly #connections = new Map<Duplex, Connection>();
  readonly #requests: Counter;
  readonly #seconds: Histogram;
  /** By method, route and status. */
  readonly #counted = new Map<string, Map<string, Map<number, Counted>>>();
  readonly #callTools: CallTools;
  #closing: Promise<void> | null = null;

  constructor(deps: HttpDoorDependencies) {
    this.#deps = deps;
    this.#limits = { ...defaultHttpLimits, ...deps.settings.limits };
    this.#guard = openGuard(deps.settings);
    this.#callers = new Callers(this.#guard, deps.tokens, deps.clock);
    this.#router = new Router(createRoutes(deps, this.#limits));
    this.#streams = new EventStreams({ ...deps, limits: this.#limits });
    const isClosing = () => this.#closing !== null;
    this.#callTools = { guard: this.#guard, limits: this.#limits, clock: deps.clock, isClosing };
    this.#requests = deps.metrics.counter("millrace_http_requests_total", "Requests answered.");
    this.#seconds = deps.metrics.histogram(
      "millrace_http_request_seconds",
      "From the end of the headers to the answer, feeds left out.",
      [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    );
    deps.metrics.collect("gauge", "millrace_http_connections", "Open connections.", () => [
      { value: this.#connections.size },
    ]);
    this.#server = createServer({
      maxHeaderSize: this.#limits.headerBytesMax,
      headersTimeout: this.#limits.headersMs,
      // The body's time is kept in `readBody`, which can answer it.
      requestTimeout: 0,
      keepAliveTimeout: this.#limits.keepAliveMs,
      connectionsCheckingInterval: Math.min(1_000, Math.max(10, this.#limits.headersMs / 4)),
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
      noDelay: true,
    });
    // Node would drop headers past its count in silence, and one of them may be Origin: they are counted here instead.
    this.#server.maxHeadersCount = 0;
    this.#server.on("connection", (socket) => this.#onConnection(socket));
    this.#server.on("clientError", (error: NodeJS.ErrnoException, socket) => onClientError(error, socket));
    this.#server.on("request", (request, response) => this.#enqueue(request, response, false));
    this.#server.on("checkContinue", (request, response) => this.#enqueue(request, response, true));
  }

  async open(): Promise<void> {
    const { host, port } = this.#deps.settings;
    try {
      const wish = { host, port, portDefault: 4400, setting: "MILLRACE_PORT", hostSetting: "MILLRACE_HOST" };
      this.port = await listen(this.#server, wish);
    } catch (error) {
      this.#streams.close();
      throw error;
    }
    // Later errors of the listening socket (EMFILE while accepting) pass by themselves.
    this.#server.on("error", (error) => this.#deps.diagnostics.warn("the HTTP door cannot accept", { error }));
    this.url = `http://${host.includes(":") ? `[${host}]` : host}:${this.port}`;
  }

  close(): Promise<void> {
    this.#closing ??= this.#drain();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #drain(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#streams.close();
    const reason = new MillraceError("SHUTTING_DOWN", "Millrace is stopping");
    for (const { exchanges } of this.#connections.values()) {
      for (const exchange of exchanges) exchange.abort.abort(reason);
    }
    this.#server.closeIdleConnections();
    const late = this.#deps.clock.after(this.#limits.drainMs, () => this.#server.closeAllConnections());
    await closed;
    late.cancel();
  }

  #onConnection(socket: Socket): void {
    const exchanges: Exchange[] = [];
    const connection = { peer: socket.remoteAddress ?? "", exchanges, serve: () => this.#serveAll(exchanges) };
    this.#connections.set(socket, connection);
    socket.once("close", () => {
      this.#connections.delete(socket);
      const reason = new MillraceError("REQUEST_INVALID", "the client has gone");
      for (const exchange of connection.exchanges) exchange.abort.abort(reason);
    });
    socket.on("error", () => socket.destroy());
    if (this.#connections.size > this.#limits.connectionsMax) {
      socket.end(rawProblem(this.#exhausted()), () => socket.destroy());
    }
  }

  #exhausted(): MillraceError {
    return new MillraceError(
      "CONNECTIONS_EXHAUSTED",
      `all ${this.#limits.connectionsMax} connections of this process are taken`,
      { hint: "Try again later; millrace doctor reports the limit of open files that it follows from." },
    );
  }

  /** Requests that were sent without awaiting answers (pipelined) take turns, as an append must not overtake another. */
  #enqueue(request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): void {
    const connection = this.#connections.get(request.socket);
    if (!connection || connection.exchanges.length >= this.#limits.pipelinedMax) {
      request.socket.destroy();
      return;
    }
    const waiting = connection.exchanges.push({
      request,
      response,
      abort: new Abort(),
      awaitsContinue,
      method: request.method ?? "GET",
      headers: request.headers,
      peer: connection.peer,
      cors: {},
      closes: false,
      route: "none",
      isFeed: false,
    });
    // Never in this very turn, in which Node has not seen yet whether the request has a body.
    if (waiting === 1) endOfTurn.then(connection.serve);
  }

  #serveAll(exchanges: Exchange[]): void {
    for (let exchange = exchanges[0]; exchange !== undefined; exchange = exchanges[0]) {
      const serving = this.#serve(exchange);
      if (serving) {
        serving.then(() => {
          exchanges.shift();
          this.#serveAll(exchanges);
        });
        return;
      }
      exchanges.shift();
    }
  }

  /** What is in memory is answered at once, without a promise. Never throws or rejects. */
  #serve(exchange: Exchange): Promise<void> | undefined {
    if (exchange.request.socket.destroyed) return undefined;
    const startedMs = this.#deps.clock.monotonicMs();
    let answering: Promise<void> | undefined;
    try {
      answering = this.#answer(exchange);
    } catch (error) {
      answering = this.#answerError(exchange, error);
    }
    if (answering === undefined) {
      this.#answered(exchange, startedMs);
      return undefined;
    }
    return answering
      .catch((error: unknown) => this.#answerError(exchange, error))
      .then(() => this.#answered(exchange, startedMs));
  }

  #answer(exchange: Exchange): Promise<void> | undefined {
    const { request, method, headers } = exchange;
    if (!isHook(request.url ?? "/")) exchange.cors = this.#guard.admit(method, headers);
    const reply = this.#reply(exchange);
    return reply instanceof Promise ? reply.then((one) => this.#write(exchange, one)) : this.#write(exchange, reply);
  }

  #write(exchange: Exchange, reply: Reply): Promise<void> | undefined {
    const { request, response } = exchange;
    if (request.socket.destroyed) return undefined;
    exchange.closes = this.#closing !== null;
    if (reply.kind === "body") return writeBody(response, reply, exchange, this.#limits.gzipBytesMin);
    exchange.isFeed = true;
    return this.#serveFeed(exchange, reply);
  }

  #answered({ request, response, method, route, isFeed }: Exchange, startedMs: number): void {
    const counted = this.#countedOf(method, route, response.statusCode);
    counted.requests.add();
    if (!isFeed) counted.seconds.observe((this.#deps.clock.monotonicMs() - startedMs) / 1000);
    // A body that nobody read would be taken for the next request.
    if (!request.complete && response.writableEnded && !response.destroyed) closeAfter(request, response);
  }

  #countedOf(given: string, route: string, status: number): Counted {
    // Methods of nobody are one, so that what is kept is bounded by the routes.
    const method = knownMethod(given);
    const byRoute = entryOf(this.#counted, method, () => new Map<string, Map<number, Counted>>());
    const byStatus = entryOf(byRoute, route, () => new Map<number, Counted>());
    return entryOf(byStatus, status, () => ({
      requests: this.#requests.series({ method, route, status: String(status) }),
      seconds: this.#seconds.series({ method, route }),
    }));
  }

  #reply(exchange: Exchange): Promise<Reply> | Reply {
    const { request, method } = exchange;
    if (this.#closing) throw new MillraceError("SHUTTING_DOWN", "Millrace is stopping");
    if (request.rawHeaders.length / 2 > this.#limits.headerCountMax) {
      throw new MillraceError(
        "REQUEST_HEADERS_TOO_LARGE",
        `there are more than ${this.#limits.headerCountMax} headers`,
      );
    }
    const { path, search } = splitTarget(request.url ?? "/");
    if (method === "OPTIONS") return { kind: "body", status: 204, type: null, body: "", headers: this.#options(path) };
    if (this.#deps.files === null || isInterface(path)) return this.#handle(exchange, path, search);
    return answerFile(this.#deps.files, method, path).then((file) => {
      if (!file) return this.#handle(exchange, path, search);
      exchange.route = "console";
      return file;
    });
  }

  #handle(exchange: Exchange, path: string, search: string): Promise<Reply> | Reply {
    const { method, headers } = exchange;
    const { route, segments } = this.#router.match(method, path);
    exchange.route = route.path;
    const call = (caller: Caller) => {
      const query = parseQueryString(search);
      checkParameters(route, query);
      return new RequestCall(exchange, this.#callTools, { segments, query, search, caller });
    };
    if (route.callers) {
      const known = this.#callers.of(headers, route);
      if (known instanceof Promise) return known.then((one) => this.#handleFor(one, route, call(one.caller)));
      return known.caller.kind === "anyone"
        ? route.handle(call(known.caller))
        : this.#handleFor(known, route, call(known.caller));
    }
    if (route.access === "key") this.#guard.authenticate(headers, route);
    return route.handle(call(anyone));
  }

  /** For a caller who is shown what others are not. */
  async #handleFor({ caller, untilMs }: KnownCaller, route: Route, call: Call): Promise<Reply> {
    const telling = async <T>(work: () => Promise<T> | T): Promise<T> => {
      try {
        return await work();
      } catch (error) {
        throw errorFor(caller, error);
      }
    };
    const reply = await telling(() => route.handle(call));
    if (reply.kind !== "feed") return privateReply(reply, caller);
    const open = async (signal: AbortSignal) => {
      const feed = await telling(() => reply.open(signal));
      return untilMs === null ? feed : expiringFeed(feed, untilMs, this.#deps.clock);
    };
    return { ...reply, open };
  }

  #options(path: string): Record<string, string> {
    const known = path === "*" || (this.#deps.files !== null && !isInterface(path));
    return { allow: known ? "GET, HEAD, OPTIONS" : this.#router.allow(path) };
  }

  async #serveFeed(exchange: Exchange, reply: Extract<Reply, { kind: "feed" }>): Promise<void> {
    const { response, abort, method } = exchange;
    const release = this.#streams.reserve();
    try {
      const feed = await reply.open(abort.signal);
      writeFeedHead(response, exchange);
      if (method === "HEAD") {
        await feed.return?.();
        response.end();
      } else await this.#streams.serve(response, feed, reply.of);
    } finally {
      release();
    }
  }

  async #answerError(exchange: Exchange, thrown: unknown): Promise<void> {
    const { request, response } = exchange;
    if (response.headersSent || request.socket.destroyed) {
      response.destroy();
      return;
    }
    let error = MillraceError.from(thrown);
    if (error.code === "INTERNAL_ERROR") {
      const reference = this.#deps.random.uuid();
      this.#deps.diagnostics.error("a request failed", { reference, method: request.method, path: request.url, error });
      error = internalProblem(reference);
    }
    const form = isRegistry(splitTarget(request.url ?? "/").path) ? registryProblemOf : problemOf;
    const problem = form(error, 1 + this.#deps.random.below(4));
    const { "content-type": type = "application/problem+json", ...others } = problem.headers;
    const headers: Record<string, string> = others;
    if (error.code === "METHOD_NOT_ALLOWED") headers.allow = String(error.details.allow);
    if (typeof error.details.acceptEncoding === "string") headers["accept-encoding"] = error.details.acceptEncoding;
    if (typeof error.details.contentRange === "string") headers["content-range"] = error.details.contentRange;
    exchange.closes = this.#closing !== null || !request.complete;
    const reply = { kind: "body", status: problem.status, type, body: problem.body, headers } as const;
    try {
      await writeBody(response, reply, exchange, this.#limits.gzipBytesMin);
    } catch {
      response.destroy();
    }
  }
}

/** What a connection is told that sent no request that could be read. */
function onClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (socket.destroyed || !socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const answer =
    error.code === "HPE_HEADER_OVERFLOW"
      ? new MillraceError("REQUEST_HEADERS_TOO_LARGE", "the request line and headers are too large")
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? new MillraceError("REQUEST_TIMEOUT", "the headers did not arrive in time")
        : new MillraceError("REQUEST_INVALID", "this is not an HTTP/1.1 request that can be read");
  socket.end(rawProblem(answer), () => socket.destroy());
}

/** The rest of a body that is refused is neither read nor taken for a request: the connection ends with the answer. */
function closeAfter(request: IncomingMessage, response: ServerResponse): void {
  const end = () => request.socket.destroySoon();
  if (response.writableFinished) end();
  else response.once("finish", end);
}

/** `path?search`; a target in absolute form (`GET http://host/path`) names the same path. */
function splitTarget(target: string): { path: string; search: string } {
  const relative = target.startsWith("/") ? target : target.replace(/^https?:\/\/[^/?#]*/i, "");
  const question = relative.indexOf("?");
  const path = question < 0 ? relative : relative.slice(0, question);
  return { path: path === "" ? "/" : path, search: question < 0 ? "" : relative.slice(question + 1) };
}

const knownMethods = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]);

function knownMethod(method: string): string {
  return knownMethods.has(method) ? method : "other";
}

/** The entry of a key, made where there is none. */
function entryOf<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
