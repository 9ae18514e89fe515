/** A free port on loopback. */
import { createServer } from "node:net";
import { MillraceError } from "../base/errors.ts";

const triesMax = 100;

export interface PortRequest {
  /** 0 means any. */
  readonly port: number;
  /** True when a user named the port: it is that one or none. */
  readonly required: boolean;
}

/** The port itself, else the next free one. Throws `PORT_TAKEN`. */
export async function choosePort({ port, required }: PortRequest): Promise<number> {
  for (let candidate = port; candidate < Math.min(port + triesMax, 65_536); candidate++) {
    const free = await tryPort(candidate);
    if (free !== null) return free;
    if (required) throw portTaken(port);
  }
  return (await tryPort(0)) ?? choosePort({ port: 0, required: false });
}

export function portTaken(port: number): MillraceError {
  return new MillraceError("PORT_TAKEN", `the store's port ${port} is in use`, {
    hint: "Name another one in MILLRACE_STORE_PORT, 0 for any, or leave it out for the next free one.",
    details: { port },
  });
}

/** Null when it is taken, or may not be opened by this user. */
function tryPort(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(null));
    probe.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address ? address.port : null));
    });
  });
}
