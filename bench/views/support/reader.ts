/**
 * Readers in a process of their own: keep connections open and ask for rows by random keys, each when the one before it on
 * its connection was answered. Written on sockets, so that it costs little beside what it measures.
 *
 * Tells its parent when it begins to count, and then what it has counted.
 *
 *   reader.ts <port> <path before the key> <keys> <connections> <seconds> <warm seconds>
 */
import { connect } from "node:net";

const [port = "", path = "", ...numbers] = process.argv.slice(2);
const [keys, connections, seconds, warmSeconds] = numbers.map(Number) as [number, number, number, number];

const requests = Array.from({ length: keys }, (_, key) =>
  Buffer.from(`GET ${path}${key} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n\r\n`),
);
const latenciesMs: number[] = [];
let refused = 0;
const beginMs = performance.now() + warmSeconds * 1_000;
const endMs = beginMs + seconds * 1_000;
setTimeout(() => process.send?.("begun"), warmSeconds * 1_000);
/** Never asleep: whoever writes to one that is has to wake it, which costs as much again as the write, and only a server that keeps it waiting. */
function spin(): void {
  if (performance.now() < endMs) setImmediate(spin);
}
spin();

function read(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: Number(port), host: "127.0.0.1", noDelay: true });
    let sentMs = 0;
    let waiting: Buffer | null = null;
    const send = () => {
      if (performance.now() >= endMs) {
        socket.destroy();
        resolve();
        return;
      }
      sentMs = performance.now();
      socket.write(requests[Math.floor(Math.random() * keys)] as Buffer);
    };
    socket.on("connect", send);
    socket.on("error", reject);
    socket.on("close", () => resolve());
    socket.on("data", (chunk: Buffer) => {
      waiting = waiting === null ? chunk : Buffer.concat([waiting, chunk]);
      if (!isWhole(waiting)) return;
      const nowMs = performance.now();
      if (nowMs >= beginMs && nowMs < endMs) {
        if (waiting.toString("latin1", 9, 12) === "200") latenciesMs.push(nowMs - sentMs);
        else refused++;
      }
      waiting = null;
      send();
    });
  });
}

function isWhole(bytes: Buffer): boolean {
  const head = bytes.indexOf("\r\n\r\n");
  if (head < 0) return false;
  const length = Number(/content-length: (\d+)/i.exec(bytes.toString("latin1", 0, head))?.[1] ?? 0);
  return bytes.length >= head + 4 + length;
}

await Promise.all(Array.from({ length: connections }, read));
latenciesMs.sort((a, b) => a - b);
const at = (share: number) =>
  latenciesMs[Math.min(latenciesMs.length - 1, Math.floor(latenciesMs.length * share))] ?? 0;
process.send?.({
  refused,
  perSecond: latenciesMs.length / seconds,
  p50Ms: at(0.5),
  p99Ms: at(0.99),
  maxMs: at(1),
});
process.disconnect?.();
