/** How far something has come that knows its end: a bar on a terminal, a line per step in a pipe. */
import type { Terminal } from "./terminal.ts";

const barCells = 24;
/** In a pipe something is said each time that so much of it is done. */
const stepPercent = 10;

export class AmountProgress {
  readonly #terminal: Terminal;
  readonly #what: string;
  readonly #printAmount: (amount: number) => string;
  #bar = "";
  #step = 0;

  constructor(terminal: Terminal, what: string, printAmount: (amount: number) => string) {
    this.#terminal = terminal;
    this.#what = what;
    this.#printAmount = printAmount;
  }

  show(done: number, total: number): void {
    const percent = total <= 0 ? 100 : Math.min(100, Math.floor((done / total) * 100));
    const amount = `${this.#printAmount(done)} of ${this.#printAmount(total)}`;
    if (this.#terminal.interactive) {
      const cells = Math.round((percent / 100) * barCells);
      const bar = `${this.#what} ${"█".repeat(cells)}${"░".repeat(barCells - cells)} ${amount}`;
      if (bar === this.#bar) return;
      this.#terminal.errors.write(`\r\u001b[K${bar}`);
      this.#bar = bar;
      return;
    }
    const step = Math.floor(percent / stepPercent);
    if (step <= this.#step) return;
    this.#step = step;
    this.#terminal.note(`${this.#what} ${amount}`);
  }

  close(): void {
    if (this.#bar !== "") this.#terminal.errors.write("\r\u001b[K");
    this.#bar = "";
  }
}
