/**
 * Many subscribers in a process of their own: opens `count` feeds of one path and says, a JSON line each time, how many
 * were accepted and refused, and then how many of the accepted got an event.
 */
import { connect } from "node:net";

const [address = "", path = "", count = "0"] = process.argv.slice(2);
const { hostname, port, host } = new URL(address);
const total = Number(count);
let accepted = 0;
let refused = 0;
let reached = 0;

const say = () => process.stdout.write(`${JSON.stringify({ accepted, refused, reached })}\n`);

for (let opened = 0; opened < total; ) {
  const round = Math.min(200, total - opened);
  await Promise.all(Array.from({ length: round }, subscribe));
  opened += round;
}
say();

function subscribe(): Promise<void> {
  return new Promise((resolve) => {
    let text = "";
    let isAccepted = false;
    const socket = connect({ host: hostname, port: Number(port) }, () => {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n\r\n`);
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      if (!isAccepted) refused++;
      resolve();
    });
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (!isAccepted) {
        if (!text.includes("\r\n\r\n")) return;
        if (!text.startsWith("HTTP/1.1 200")) {
          socket.destroy();
          return;
        }
        isAccepted = true;
        accepted++;
        resolve();
      }
      if (!text.includes("event: events")) {
        text = text.slice(-64);
        return;
      }
      socket.removeAllListeners("data");
      socket.resume();
      reached++;
      if (reached === accepted) say();
    });
  });
}
