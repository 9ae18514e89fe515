/** Says that something still runs: counts the seconds on a terminal, a line now and then in a pipe. */
import type { Clock, Timer } from "../base/clock.ts";
import type { Terminal } from "./terminal.ts";

const secondMs = 1_000;
const lineSeconds = 10;

export class ElapsedTime {
  readonly #terminal: Terminal;
  readonly #clock: Clock;
  readonly #what: string;
  #seconds = 0;
  #drawn = false;
  #timer: Timer;

  constructor(terminal: Terminal, clock: Clock, what: string) {
    this.#terminal = terminal;
    this.#clock = clock;
    this.#what = what;
    this.#timer = this.#next();
  }

  close(): void {
    this.#timer.cancel();
    if (this.#drawn) this.#terminal.errors.write("\r\u001b[K");
  }

  #next(): Timer {
    return this.#clock.after(secondMs, () => {
      this.#seconds++;
      const text = `${this.#what}, ${this.#seconds} s`;
      if (this.#terminal.interactive) {
        this.#terminal.errors.write(`\r\u001b[K${text}`);
        this.#drawn = true;
      } else if (this.#seconds % lineSeconds === 0) this.#terminal.note(text);
      this.#timer = this.#next();
    });
  }
}
