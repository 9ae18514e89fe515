/**
 * A text that is read from left to right, as the grammars of filters, orders and selections share it: words, texts in
 * double quotes where `\` keeps the next character, and columns with paths (`data->items->0->>"a b"`). What does not fit
 * throws the error that the grammar makes of it.
 */
import type { MillraceError } from "../base/errors.ts";
import type { Field } from "../views/view-info.ts";

const stepsMax = 32;

export class TextScanner {
  protected readonly text: string;
  protected at = 0;
  readonly #error: (what: string, hint?: string) => MillraceError;

  constructor(text: string, error: (what: string, hint?: string) => MillraceError) {
    this.text = text;
    this.#error = error;
  }

  get atEnd(): boolean {
    return this.at >= this.text.length;
  }

  expectEnd(): void {
    if (!this.atEnd) throw this.invalid(`ends before ${this.here()}`);
  }

  /** A column, in double quotes or up to one of `stops`, and the path behind it. Null when there is none. */
  field(stops: string): Field | null {
    const column = this.#name(stops);
    if (column === "") return null;
    const steps: string[] = [];
    let text = false;
    while (this.text.startsWith("->", this.at)) {
      if (text) throw this.invalid(`goes on behind ->> at ${this.here()}`, "A text has no parts: write -> before it.");
      if (steps.length >= stepsMax) throw this.invalid(`has a path of more than ${stepsMax} steps`);
      text = this.take("->>");
      if (!text) this.take("->");
      const start = this.at;
      const quoted = this.text[this.at] === '"';
      const step = this.#name(stops);
      if (step === "" && !quoted) throw this.invalid(`needs a key or an index at ${this.here(start)}`);
      steps.push(step);
    }
    return steps.length === 0 ? { column } : { column, path: { steps, text } };
  }

  /** Up to one of `stops`, or the end. */
  word(stops: string): string {
    const start = this.at;
    while (!this.atEnd && !stops.includes(this.text[this.at] as string)) this.at++;
    return this.text.slice(start, this.at);
  }

  take(text: string): boolean {
    if (!this.text.startsWith(text, this.at)) return false;
    this.at += text.length;
    return true;
  }

  quoted(): string {
    const start = this.at++;
    let value = "";
    for (;;) {
      const character = this.text[this.at++];
      if (character === '"') return value;
      const kept = character === "\\" ? this.text[this.at++] : character;
      if (kept === undefined) throw this.invalid(`has a quote that is not closed at ${this.here(start)}`);
      value += kept;
    }
  }

  here(at = this.at): string {
    return at >= this.text.length ? "its end" : `${brief(this.text.slice(at))} (character ${at + 1})`;
  }

  invalid(what: string, hint?: string): MillraceError {
    return this.#error(what, hint);
  }

  /** In double quotes, or up to `->` or one of `stops`. */
  #name(stops: string): string {
    if (this.text[this.at] === '"') return this.quoted();
    const start = this.at;
    while (!this.atEnd && !stops.includes(this.text[this.at] as string) && !this.text.startsWith("->", this.at))
      this.at++;
    return this.text.slice(start, this.at);
  }
}

export function brief(text: string): string {
  return JSON.stringify(text.length > 30 ? `${text.slice(0, 30)}…` : text);
}
