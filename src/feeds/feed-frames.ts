/**
 * Frames as JSON text. How a batch is cut into frames follows from its changes alone, so that `generation.batch.frame`
 * names the same place after a restart and in another process.
 */
import type { ChangeBatch, GroupPosition, ViewChange } from "../views/view-info.ts";
import type { Frame } from "./feed.ts";
import { encodeFeedId, encodeToken } from "./token.ts";

const itemsMax = 1_000;
const charactersMax = 256 * 1024;

/** Cuts items into runs; one that is larger than a frame is a frame of its own. */
class Runs {
  #run: string[] = [];
  #characters = 0;

  /** The run that this item no longer fits in. */
  push(item: string): string[] | undefined {
    const full =
      this.#run.length > 0 && (this.#run.length === itemsMax || this.#characters + item.length > charactersMax);
    const complete = full ? this.end() : undefined;
    this.#run.push(item);
    this.#characters += item.length;
    return complete;
  }

  end(): string[] {
    const run = this.#run;
    this.#run = [];
    this.#characters = 0;
    return run;
  }
}

/** At least one frame, however few rows; only the last has an id and no `more`. */
export async function* snapshotFrames(
  position: GroupPosition,
  key: readonly string[] | null,
  pages: AsyncIterable<readonly string[]>,
): AsyncGenerator<Frame, undefined> {
  const head = `"token":"${groupToken(position)}","key":${JSON.stringify(key)}`;
  const runs = new Runs();
  const frame = (run: readonly string[], more: boolean): Frame => {
    const data = `{${head},"rows":[${run.join(",")}]${more ? ',"more":true' : ""}}`;
    return Object.freeze({ event: "snapshot", id: more ? null : feedId(position), data });
  };
  for await (const page of pages) {
    for (const row of page) {
      const run = runs.push(row);
      if (run) yield frame(run, true);
    }
  }
  yield frame(runs.end(), false);
}

/** The frames of one batch. */
export function changesFrames({ position, changes }: ChangeBatch): Frame[] {
  const runs = new Runs();
  const frames: Frame[] = [];
  for (const change of changes) {
    const run = runs.push(changeText(change));
    if (run) frames.push(changesFrame(position, run, frames.length + 1));
  }
  frames.push(changesFrame(position, runs.end(), null));
  return frames;
}

/** The frames of a batch that is read by pages. */
export async function* largeFrames(
  position: GroupPosition,
  pages: AsyncIterable<readonly ViewChange[]>,
): AsyncGenerator<Frame, undefined> {
  const runs = new Runs();
  let count = 0;
  for await (const page of pages) {
    for (const change of page) {
      const run = runs.push(changeText(change));
      if (run) yield changesFrame(position, run, ++count);
    }
  }
  yield changesFrame(position, runs.end(), null);
}

export function progressFrame(position: GroupPosition): Frame {
  return Object.freeze({
    event: "progress",
    id: feedId(position),
    data: `{"token":"${groupToken(position)}"}`,
  });
}

export function gapFrame(from: GroupPosition, to: GroupPosition, reason: string): Frame {
  const data = JSON.stringify({ from: groupToken(from), to: groupToken(to), reason });
  return Object.freeze({ event: "gap", id: null, data });
}

function changesFrame(position: GroupPosition, run: readonly string[], frame: number | null): Frame {
  const data = `{"token":"${groupToken(position)}","changes":[${run.join(",")}]${frame === null ? "" : ',"more":true'}}`;
  return Object.freeze({ event: "changes", id: encodeFeedId({ ...position, frame }), data });
}

function changeText(change: ViewChange): string {
  const { op, key, row } = change;
  if (key === null) return `{"op":"${op}","row":${row},"count":${change.count}}`;
  return row === null ? `{"op":"${op}","key":${key}}` : `{"op":"${op}","key":${key},"row":${row}}`;
}

function groupToken(position: GroupPosition): string {
  return encodeToken({ ...position, kind: "group" });
}

function feedId(position: GroupPosition): string {
  return encodeFeedId({ ...position, frame: null });
}
