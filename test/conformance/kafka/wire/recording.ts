/**
 * Exchanges of frames in a file: one a line, with the step's name behind the frames. "-" stands for a connection that
 * was closed in place of an answer.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Exchange } from "./script.ts";

const path = join(import.meta.dirname, "../../../../src/kafka/recorded-frames.txt");

export interface RecordedExchange {
  readonly name: string;
  /** Whole frames, with their length. */
  readonly request: Buffer;
  readonly response: Buffer | null;
}

export function writeRecording(version: string, exchanges: readonly Exchange[]): void {
  const lines = exchanges.map(({ step, request, response }) => {
    const parts = [request.toString("base64"), response?.toString("base64") ?? "-", step.name];
    return `${parts.join(" ")}\n`;
  });
  const head = `# Requests and what Kafka ${version} answered, in base64; written by test/conformance/kafka/record-frames.ts.\n`;
  writeFileSync(path, head + lines.join(""));
}

export function readRecording(): RecordedExchange[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [request = "", response = "", ...name] = line.split(" ");
      return {
        name: name.join(" "),
        request: Buffer.from(request, "base64"),
        response: response === "-" ? null : Buffer.from(response, "base64"),
      };
    });
}
