/**
 * The protocol over a bare socket, without anything that a client does beside it. Answers come in the order of their
 * questions; several may be on their way.
 */
import { connect, type Socket } from "node:net";
import { FrameReader } from "../../../src/broker/frame-reader.ts";
import type { Api, RequestInput, ResponseOf } from "../../../src/kafka/fields.ts";
import { decodeResponseFrame, encodeRequestFrame } from "../../../src/kafka/frames.ts";

const frameBytesMax = 100 * 1024 * 1024;

export class BareClient implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #reader = new FrameReader(frameBytesMax);
  readonly #waiting: PromiseWithResolvers<Buffer>[] = [];

  /** Rejects when nobody listens. */
  static open(port: number): Promise<BareClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => resolve(new BareClient(socket)));
    });
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#reader.feed(chunk);
      for (let step = this.#reader.next(); step.kind !== "more"; step = this.#reader.next()) {
        if (step.kind === "frame") this.#waiting.shift()?.resolve(step.frame);
        else {
          socket.destroy(new Error(`a frame of ${step.length} bytes was announced`));
          return;
        }
      }
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error("the connection was closed"));
    });
  }

  /** A frame as `encodeRequestFrame` makes it; answers the response's, without its length. */
  send(frame: readonly Buffer[]): Promise<Buffer> {
    if (this.#socket.destroyed) return Promise.reject(new Error("the connection was closed"));
    const answered = Promise.withResolvers<Buffer>();
    this.#waiting.push(answered);
    this.#socket.cork();
    for (const part of frame) this.#socket.write(part);
    this.#socket.uncork();
    return answered.promise;
  }

  async ask<A extends Api>(api: A, version: number, request: RequestInput<A>): Promise<ResponseOf<A>> {
    const frame = await this.send(encodeRequestFrame(api, version, 1, "bench", request));
    return decodeResponseFrame(api, version, frame).response;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
  }
}
