/** Takes a port by the rules of all doors: unset and taken, the next free one; set and taken, `PORT_TAKEN`; 0 means any. */
import { MillraceError } from "./errors.ts";

const attemptsMax = 100;

/** What is needed of a server of `node:net`, `node:tls` or `node:http`. */
export interface PortServer {
  listen(options: {
    readonly host: string;
    readonly port: number;
    readonly exclusive: boolean;
    readonly backlog: number;
  }): unknown;
  address(): { readonly port: number } | string | null;
  once(event: "error", listener: (error: NodeJS.ErrnoException) => void): unknown;
  once(event: "listening", listener: () => void): unknown;
  off(event: "error", listener: (error: NodeJS.ErrnoException) => void): unknown;
  off(event: "listening", listener: () => void): unknown;
}

export interface PortWish {
  readonly host: string;
  /** Null: `portDefault`, or the next that is free. */
  readonly port: number | null;
  readonly portDefault: number;
  /** For messages: the names of the settings. */
  readonly setting: string;
  readonly hostSetting: string;
}

/** Answers the port. Throws `PORT_TAKEN` and `SETTING_INVALID`. */
export async function listen(server: PortServer, wish: PortWish): Promise<number> {
  const first = wish.port ?? wish.portDefault;
  const last = wish.port === null ? Math.min(65_535, first + attemptsMax - 1) : first;
  for (let port = first; port <= last; port++) {
    const failure = await tryListen(server, wish.host, port);
    if (failure === null) {
      const address = server.address();
      return typeof address === "object" && address !== null ? address.port : port;
    }
    if (failure.code !== "EADDRINUSE") throw unusable(failure, wish, port);
  }
  throw new MillraceError(
    "PORT_TAKEN",
    `port ${first === last ? first : `${first} to ${last}`} of ${wish.host} is in use`,
    {
      hint: `Stop what listens there, or set ${wish.setting} to a free port (0 means any).`,
      details: { port: first },
    },
  );
}

function tryListen(server: PortServer, host: string, port: number): Promise<NodeJS.ErrnoException | null> {
  return new Promise((resolve) => {
    const onError = (error: NodeJS.ErrnoException) => {
      server.off("listening", onListening);
      resolve(error);
    };
    const onListening = () => {
      server.off("error", onError);
      resolve(null);
    };
    server.once("error", onError);
    server.once("listening", onListening);
    server.listen({ host, port, exclusive: true, backlog: 1_024 });
  });
}

function unusable(cause: NodeJS.ErrnoException, wish: PortWish, port: number): MillraceError {
  return new MillraceError("SETTING_INVALID", `cannot listen on ${wish.host} port ${port}: ${cause.message}`, {
    hint:
      cause.code === "EACCES"
        ? `Ports below 1024 need a right that this user has not; set ${wish.setting} to a higher one.`
        : `Set ${wish.hostSetting} to an address of this machine.`,
    cause,
  });
}
