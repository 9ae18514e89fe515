/** Snapshots as they go on: a bar on a terminal, a line per step in a pipe. The diagnostics above it stay whole. */
import { Writable } from "node:stream";
import type { SourceStatus } from "../capture/source.ts";
import { printCount } from "./quantity.ts";
import type { Terminal } from "./terminal.ts";

const barCells = 24;
/** In a pipe a snapshot says something each time that so much of it is done. */
const stepPercent = 10;

export class SnapshotProgress {
  readonly #terminal: Terminal;
  readonly #said = new Map<string, number>();
  #bar = "";

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** Where diagnostics go, so that a line of theirs does not land in the bar. */
  get diagnostics(): Writable {
    return new Writable({
      write: (chunk, _encoding, done) => {
        this.#erase();
        this.#terminal.errors.write(chunk);
        this.#draw();
        done();
      },
    });
  }

  show(sources: readonly SourceStatus[]): void {
    const running = sources.flatMap(({ name, state, reading }) => [
      ...(state.kind === "snapshotting" ? [{ name, ...state }] : []),
      ...(reading ?? []).flatMap(({ table, waiting, ...read }) =>
        waiting ? [] : [{ name: `${name} ${table}`, ...read }],
      ),
    ]);
    if (this.#terminal.interactive) {
      const bar = running.map(({ name, rows, rowsEstimated }) => barOf(name, rows, rowsEstimated)).join("   ");
      if (bar === this.#bar) return;
      this.#erase();
      this.#bar = bar;
      this.#draw();
      return;
    }
    for (const { name, rows, rowsEstimated } of running) {
      const step = Math.floor(percentOf(rows, rowsEstimated) / stepPercent);
      if (this.#said.get(name) === step) continue;
      this.#said.set(name, step);
      this.#terminal.note(`snapshot of ${name}: ${amountOf(rows, rowsEstimated)}`);
    }
    for (const name of this.#said.keys()) {
      if (running.some((one) => one.name === name)) continue;
      this.#said.delete(name);
      this.#terminal.note(`snapshot of ${name}: ended`);
    }
  }

  close(): void {
    this.#erase();
    this.#bar = "";
  }

  #erase(): void {
    if (this.#bar !== "") this.#terminal.errors.write("\r\u001b[K");
  }

  #draw(): void {
    if (this.#bar !== "") this.#terminal.errors.write(this.#bar);
  }
}

function barOf(name: string, rows: number, rowsEstimated: number): string {
  const cells = Math.round((percentOf(rows, rowsEstimated) / 100) * barCells);
  return `${name} ${"█".repeat(cells)}${"░".repeat(barCells - cells)} ${amountOf(rows, rowsEstimated)}`;
}

function amountOf(rows: number, rowsEstimated: number): string {
  return `${printCount(rows)} of about ${printCount(Math.max(rows, rowsEstimated))} rows`;
}

/** The estimate is PostgreSQL's statistics, which may be behind: never more than everything. */
function percentOf(rows: number, rowsEstimated: number): number {
  return rowsEstimated <= 0 ? 0 : Math.min(100, (rows / rowsEstimated) * 100);
}
