/**
 * A vendor in a process of its own: keeps connections open and sends signed calls, each when the one before it on its
 * connection was answered. Written on sockets, so that it costs little beside what it measures.
 *
 *   caller.ts <port> <path> <connections> <seconds> <warm seconds> <body bytes> <secret>
 */
import { createHmac, randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";

const [port, path, connections, seconds, warmSeconds, bodyBytes] = process.argv
  .slice(2, 8)
  .map((text, i) => (i === 1 ? text : Number(text))) as [number, string, number, number, number, number];
const secret = process.argv[8] ?? "";

/** Calls are made beforehand as far as they can be: the id alone is new in each. */
const filler = randomBytes(bodyBytes)
  .toString("base64")
  .slice(0, Math.max(0, bodyBytes - 60));
const run = randomBytes(6).toString("hex");
let next = 0;

function makeCall(): Buffer {
  const body = `{"id":"evt_${run}_${String(next++).padStart(12, "0")}","data":"${filler}"}`;
  const mac = createHmac("sha256", secret).update(body).digest("hex");
  return Buffer.from(
    `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nx-mac: ${mac}\r\n` +
      `x-id: ${run}_${next}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
}

const latenciesMs: number[] = [];
let answered = 0;
let refused = 0;
const beginMs = performance.now() + warmSeconds * 1_000;
const endMs = beginMs + seconds * 1_000;

function run1(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ port, host: "127.0.0.1", noDelay: true });
    let sentMs = 0;
    let waiting: Buffer = Buffer.alloc(0);
    const send = () => {
      if (performance.now() >= endMs) {
        socket.destroy();
        resolve();
        return;
      }
      const call = makeCall();
      sentMs = performance.now();
      socket.write(call);
    };
    socket.on("connect", send);
    socket.on("error", reject);
    socket.on("close", () => resolve());
    socket.on("data", (chunk: Buffer) => {
      waiting = waiting.length === 0 ? chunk : Buffer.concat([waiting, chunk]);
      const end = answerEnd(waiting);
      if (end < 0) return;
      const nowMs = performance.now();
      const isKept = waiting.toString("latin1", 9, 12) === "200";
      waiting = waiting.subarray(end);
      if (nowMs >= beginMs && nowMs < endMs) {
        latenciesMs.push(nowMs - sentMs);
        if (isKept) answered++;
        else refused++;
      }
      send();
    });
  });
}

/** Where the first answer ends; -1 while it is not whole. */
function answerEnd(bytes: Buffer): number {
  const head = bytes.indexOf("\r\n\r\n");
  if (head < 0) return -1;
  const length = Number(/content-length: (\d+)/i.exec(bytes.toString("latin1", 0, head))?.[1] ?? 0);
  return bytes.length >= head + 4 + length ? head + 4 + length : -1;
}

await Promise.all(Array.from({ length: connections }, run1));
latenciesMs.sort((a, b) => a - b);
const at = (share: number) =>
  latenciesMs[Math.min(latenciesMs.length - 1, Math.floor(latenciesMs.length * share))] ?? 0;
const cpu = process.cpuUsage();
process.send?.({
  answered,
  refused,
  perSecond: answered / seconds,
  p50Ms: at(0.5),
  p99Ms: at(0.99),
  maxMs: at(1),
  cpuSeconds: (cpu.user + cpu.system) / 1e6,
});
process.disconnect?.();
