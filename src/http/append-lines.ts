/**
 * Appending the lines of one request piece by piece, as they arrive (`?atomic=false`): a body of any size in bounded memory.
 *
 * Always true: lines are appended in their order, one piece after the other, and each piece whole or not at all; while one
 * is made durable the next is read, and no more. When a line is refused, or the body ends early, all whole lines before
 * it are appended, none behind it, and the error says how many.
 */
import { MillraceError } from "../base/errors.ts";
import type { PlacedBatch } from "../engine/engine.ts";
import type { EventInput } from "./event-input.ts";

export interface LineTools {
  /** Appends events, whole or not at all. Throws what they are refused with. */
  append(events: readonly EventInput[]): Promise<readonly PlacedBatch[]>;
  /** The event of a line; undefined for an empty one. Throws what is wrong with it, naming the line. */
  parse(line: Buffer, number: number): EventInput | undefined;
}

/** What has been appended. */
export interface AppendedLines {
  readonly events: number;
  /** Up to this one, all. */
  readonly lines: number;
  /** By partition: the first offset and the last one. Events of others may lie between. */
  readonly places: readonly Pick<PlacedBatch, "partition" | "baseOffset" | "lastOffset">[];
}

interface NumberedEvent {
  readonly event: EventInput;
  readonly line: number;
}

/** So many bytes of events are read while others are appended. */
const pieceBytes = 1024 * 1024;

export class LineAppends {
  readonly #tools: LineTools;
  readonly #places = new Map<number, { readonly baseOffset: number; lastOffset: number }>();
  #gathered: NumberedEvent[] = [];
  #gatheredBytes = 0;
  #underWay: Promise<void> | undefined;
  #failure: unknown;
  #events = 0;
  #lines = 0;

  constructor(tools: LineTools) {
    this.#tools = tools;
  }

  get appended(): AppendedLines {
    const places = [...this.#places].map(([partition, place]) => ({ partition, ...place }));
    places.sort((a, b) => a.partition - b.partition);
    return { events: this.#events, lines: this.#lines, places };
  }

  /** Resolves when there is room for more lines. */
  async add(line: Buffer, number: number): Promise<void> {
    const event = this.#tools.parse(line, number);
    if (!event) return;
    this.#gathered.push({ event, line: number });
    this.#gatheredBytes += line.length;
    if (this.#gatheredBytes >= pieceBytes) await this.#underWay;
    this.#begin();
    if (this.#failure) throw this.#failure;
  }

  /** Resolves when all that was added is appended. Throws what the log refuses. */
  async end(): Promise<void> {
    while (this.#underWay || (this.#gathered.length > 0 && !this.#failure)) {
      this.#begin();
      await this.#underWay;
    }
    if (this.#failure) throw this.#failure;
  }

  /** What has gathered is the next piece, when none is under way. */
  #begin(): void {
    if (this.#underWay || this.#failure || this.#gathered.length === 0) return;
    const piece = this.#gathered;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    this.#underWay = this.#append(piece)
      .catch((error) => {
        this.#failure = error;
      })
      .finally(() => {
        this.#underWay = undefined;
      });
  }

  /** What is refused is halved until one line is left, so that those before it are appended, and it is named. */
  async #append(piece: readonly NumberedEvent[]): Promise<void> {
    let placed: readonly PlacedBatch[];
    try {
      placed = await this.#tools.append(piece.map(({ event }) => event));
    } catch (thrown) {
      const error = MillraceError.from(thrown);
      if (error.action !== "fix-request") throw error;
      const [first] = piece;
      if (piece.length === 1 && first) throw atLine(error, first.line);
      const half = Math.ceil(piece.length / 2);
      await this.#append(piece.slice(0, half));
      await this.#append(piece.slice(half));
      return;
    }
    for (const { partition, baseOffset, lastOffset } of placed) {
      const known = this.#places.get(partition);
      if (known) known.lastOffset = lastOffset;
      else this.#places.set(partition, { baseOffset, lastOffset });
    }
    this.#events += piece.length;
    this.#lines = piece.at(-1)?.line ?? this.#lines;
  }
}

function atLine(error: MillraceError, line: number): MillraceError {
  const hint = error.hint === undefined ? {} : { hint: error.hint };
  return new MillraceError(error.code, `line ${line}: ${error.message}`, {
    ...hint,
    details: { ...error.details, line },
    cause: error,
  });
}
