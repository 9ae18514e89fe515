/** A parser of `text/event-stream` (WHATWG HTML, 9.2.6), fed with text as it comes. */
export interface SseEvent {
  readonly event: string;
  /** The last id that the stream has sent, with this event or before it; empty before the first. */
  readonly id: string;
  readonly data: string;
}

export class SseParser {
  /** What the stream asked for as the pause before a reconnect, in milliseconds. */
  retryMs: number | null = null;
  readonly #charactersMax: number;
  #id = "";
  #event = "";
  #data: string[] = [];
  #characters = 0;
  /** Of a line that has not ended. */
  #rest: string[] = [];
  #begun = false;
  #skipLineFeed = false;

  /** Throws from `push` on an event of more than `charactersMax`. */
  constructor(charactersMax: number) {
    this.#charactersMax = charactersMax;
  }

  push(text: string): SseEvent[] {
    const events: SseEvent[] = [];
    let start = 0;
    if (!this.#begun && text.length > 0) {
      this.#begun = true;
      if (text.charCodeAt(0) === 0xfeff) start = 1;
    }
    if (this.#skipLineFeed && start < text.length) {
      this.#skipLineFeed = false;
      if (text[start] === "\n") start++;
    }
    const lineEnd = /\r\n?|\n/g;
    lineEnd.lastIndex = start;
    for (let match = lineEnd.exec(text); match; match = lineEnd.exec(text)) {
      const line = this.#rest.join("") + text.slice(start, match.index);
      this.#rest = [];
      start = lineEnd.lastIndex;
      // A line feed that belongs to this carriage return may be in the next chunk.
      this.#skipLineFeed = match[0] === "\r" && start === text.length;
      const event = this.#line(line);
      if (event) events.push(event);
    }
    if (start < text.length) {
      this.#rest.push(text.slice(start));
      this.#count(text.length - start);
    }
    return events;
  }

  #line(line: string): SseEvent | undefined {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return undefined;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    switch (field) {
      case "event":
        this.#event = value;
        break;
      case "data":
        this.#count(value.length);
        this.#data.push(value);
        break;
      case "id":
        if (!value.includes("\0")) this.#id = value;
        break;
      case "retry":
        if (/^\d{1,9}$/.test(value)) this.retryMs = Number(value);
        break;
    }
    return undefined;
  }

  #dispatch(): SseEvent | undefined {
    const data = this.#data;
    const event = this.#event || "message";
    this.#event = "";
    this.#data = [];
    this.#characters = 0;
    return data.length === 0 ? undefined : { event, id: this.#id, data: data.join("\n") };
  }

  #count(characters: number): void {
    this.#characters += characters;
    if (this.#characters > this.#charactersMax) throw new RangeError("an event of the stream is too large");
  }
}
