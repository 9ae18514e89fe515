/**
 * What the source is compared with, each with the same verification and no deduplication: the same door without a log,
 * and the smallest receiver that keeps its promise, `node:http` that writes a line per call and syncs once for all that wait.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface Peer extends AsyncDisposable {
  readonly port: number;
}

/** Verifies, keeps nothing, answers. */
export function openVerifier(secret: string): Promise<Peer> {
  return openPeer(secret, async () => {});
}

/** Verifies, appends to a file, answers when what it wrote is synced. */
export async function openFileReceiver(secret: string, path: string): Promise<Peer> {
  const file = await open(path, "a");
  const writer = new SyncedFile(file);
  const peer = await openPeer(secret, (body) => writer.append(body));
  return {
    port: peer.port,
    async [Symbol.asyncDispose]() {
      await peer[Symbol.asyncDispose]();
      await file.close();
    },
  };
}

class SyncedFile {
  readonly #file: FileHandle;
  #waiting: { readonly body: Buffer; readonly done: (error?: unknown) => void }[] = [];
  #isWriting = false;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  append(body: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ body, done: (error) => (error === undefined ? resolve() : reject(error)) });
      if (!this.#isWriting) void this.#write();
    });
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      this.#waiting = [];
      try {
        await this.#file.writev(group.flatMap(({ body }) => [body, newline]));
        await this.#file.datasync();
        for (const { done } of group) done();
      } catch (error) {
        for (const { done } of group) done(error);
      }
    }
    this.#isWriting = false;
  }
}

const newline = Buffer.from("\n");

async function openPeer(secret: string, keep: (body: Buffer) => Promise<void>): Promise<Peer> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", async () => {
      const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
      const right = createHmac("sha256", secret).update(body).digest();
      const given = Buffer.from(String(request.headers["x-mac"]), "hex");
      const isRight = given.length === right.length && timingSafeEqual(given, right);
      if (isRight) await keep(body);
      response.writeHead(isRight ? 200 : 401, { "content-length": 2 }).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
