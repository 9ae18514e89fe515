import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/** Below those that systems give to outgoing connections: a server that is away for a while finds its port free again. */
const portMin = 15_000;
const portEnd = 32_000;
const triesMax = 100;

/** A TCP port on loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < triesMax; tries++) {
    const port = randomInt(portMin, portEnd);
    if (await isFree(port)) return port;
  }
  throw new Error(`none of ${triesMax} ports was free`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}
