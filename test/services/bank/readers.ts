/** A live reader: follows views over SSE through every restart, and looks at each state that it is given. */
import assert from "node:assert/strict";
import { systemClock } from "../../../src/base/clock.ts";
import type { Millrace } from "./main-job.ts";

type Row = Readonly<Record<string, string>>;

interface Frame {
  readonly event: string;
  readonly id: string;
  readonly data: string;
}

/** `feeds` as in `by_branch/live`. Resolves, when the signal is aborted, to the number of states seen. */
export async function followLive(millrace: Millrace, feeds: readonly string[], signal: AbortSignal): Promise<number> {
  const counts = await Promise.all(feeds.map((feed) => followOne(millrace, feed, signal)));
  return counts.reduce((sum, count) => sum + count, 0);
}

async function followOne(millrace: Millrace, feed: string, signal: AbortSignal): Promise<number> {
  let states = 0;
  let lastId: string | undefined;
  let rows = new Map<string, Row>();
  let pending: Map<string, Row> | undefined;
  while (!signal.aborted) {
    try {
      const headers: Record<string, string> = lastId === undefined ? {} : { "last-event-id": lastId };
      const response = await fetch(`${millrace.address}/v1/views/${feed}`, { headers, signal });
      if (!response.ok || !response.body) {
        await response.body?.cancel();
        await systemClock.sleep(100);
        continue;
      }
      for await (const frame of frames(response.body)) {
        const data = JSON.parse(frame.data);
        if (frame.event === "snapshot") {
          pending ??= new Map();
          for (const row of data.rows as Row[]) pending.set(identity(row), row);
        } else if (frame.event === "changes") {
          pending ??= new Map(rows);
          for (const { op, key, row } of data.changes as { op: string; key: Row; row: Row }[]) {
            const id = identity(key);
            if (op === "delete") pending.delete(id);
            else pending.set(id, row);
          }
        } else if (frame.event === "gap") {
          pending = new Map();
          continue;
        } else continue;
        if (data.more) continue;
        rows = pending;
        pending = undefined;
        lastId = frame.id;
        states++;
        const wrong = [...rows.values()].find((row) => Number(row.difference) !== 0);
        assert.equal(wrong, undefined, `a live reader of ${feed} saw ${JSON.stringify(wrong)} at ${frame.id}`);
      }
    } catch (error) {
      if (signal.aborted) break;
      if (error instanceof assert.AssertionError) throw error;
    }
    pending = undefined;
    await systemClock.sleep(20);
  }
  return states;
}

function identity(row: Row): string {
  return row.bid ?? row.tid ?? row.aid ?? "";
}

async function* frames(body: ReadableStream<Uint8Array>): AsyncIterable<Frame> {
  let text = "";
  let id = "";
  for await (const chunk of body.pipeThrough(new TextDecoderStream() as never) as unknown as AsyncIterable<string>) {
    text += chunk;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const field = (name: string) =>
        lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2));
      id = field("id")[0] ?? id;
      const data = field("data").join("\n");
      if (data !== "") yield { event: field("event")[0] ?? "message", id, data };
    }
  }
}
