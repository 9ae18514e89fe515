/**
 * Sources that were captured once and are in the module no more. Their slots hold their servers' log for ever, so that they
 * are listed and warned of until somebody has said what becomes of them.
 */
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import type { SourceDefinition } from "../catalog/definitions.ts";
import type { Engine } from "../engine/engine.ts";
import { becomeOwner, unitOfSource } from "../ownership/become-owner.ts";
import type { ProgressTable } from "../ownership/progress-table.ts";
import { giveUpSlot, systemIdOf } from "./give-up.ts";
import { type CaptureProgress, readProgress } from "./progress.ts";
import type { SourceStatus } from "./source.ts";
import { sourceError } from "./source-error.ts";

export interface LeftSourcesOptions {
  readonly engine: Engine;
  readonly progress: ProgressTable;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
}

export class LeftSources {
  readonly #options: LeftSourcesOptions;
  #defined: readonly SourceDefinition[] = [];
  #left: ReadonlyMap<string, CaptureProgress> = new Map();

  constructor(options: LeftSourcesOptions) {
    this.#options = options;
  }

  /** With these definitions from now on; warns of what is left now and was not before. Throws what the log throws. */
  async look(defined: readonly SourceDefinition[]): Promise<void> {
    const { progress: table, diagnostics } = this.#options;
    await table.readToEnd();
    this.#defined = defined;
    const left = new Map<string, CaptureProgress>();
    for (const name of table.unitsOf(unitOfSource(""))) {
      const progress = readProgress(table.unit(unitOfSource(name)).progress);
      if (progress === null || defined.some((source) => source.name === name)) continue;
      left.set(name, progress);
      if (holdsSlot(progress) && !this.#left.has(name)) {
        diagnostics.warn(warningOf(name, progress), { source: name, slot: progress.slot, hint: wayOut(name) });
      }
    }
    this.#left = left;
  }

  /** Those of which nobody has said what becomes of their slots. */
  list(): SourceStatus[] {
    return [...this.#left].filter(([, progress]) => holdsSlot(progress)).map(statusOf);
  }

  /** Also of one that is removed by now. */
  status(name: string): SourceStatus | undefined {
    const progress = this.#left.get(name);
    return progress === undefined ? undefined : statusOf([name, progress]);
  }

  /**
   * `keep` leaves the server alone; `drop` takes slot and publications away there, at `url`, or where another source of the
   * same database is captured from. False when nothing of this name is left. Throws `REQUEST_INVALID` when no address is
   * known, `SOURCE_REPLACED` when another server answers there, and what connecting throws.
   */
  async remove(name: string, slot: "keep" | "drop", url: string | null): Promise<boolean> {
    const progress = this.#left.get(name);
    if (progress === undefined) return false;
    const { engine, progress: table, clock } = this.#options;
    const address = slot === "keep" ? null : { name, url: url ?? this.#urlLike(name, progress) };
    // Whoever still captures it is fenced first, and takes nothing from here on.
    const owner = await becomeOwner(engine, unitOfSource(name), { progress: table });
    if (address !== null) await this.#dropAt(address, progress);
    const told = slot === "keep" ? "kept" : "dropped";
    const removed: CaptureProgress = {
      ...progress,
      ...(slot === "drop" && { state: "released" }),
      hold: { kind: "removed", slot: told, because: null, atMs: clock.now() },
    };
    const transaction = owner.begin();
    await transaction.append(owner.progressBatch(removed));
    await transaction.commit();
    await this.look(this.#defined);
    return true;
  }

  async #dropAt(address: { readonly name: string; readonly url: string }, progress: CaptureProgress): Promise<void> {
    const { name } = address;
    try {
      const systemId = await systemIdOf(address);
      if (systemId !== progress.systemId) {
        throw new MillraceError(
          "SOURCE_REPLACED",
          `the server at this address (system ${systemId}) is another one than source "${name}" captured (system ${progress.systemId})`,
          { hint: `${wayOut(name)} Where that server is gone for good: --keep-slot.`, details: { source: name } },
        );
      }
      await giveUpSlot(address, progress.slot, { publications: true, clock: this.#options.clock });
    } catch (cause) {
      throw sourceError(cause, address);
    }
  }

  #urlLike(name: string, { systemId, database }: CaptureProgress): string {
    const { progress: table } = this.#options;
    const twin = this.#defined.find((source) => {
      const other = readProgress(table.unit(unitOfSource(source.name)).progress);
      return other?.systemId === systemId && other.database === database;
    });
    if (twin !== undefined) return twin.url;
    throw new MillraceError(
      "REQUEST_INVALID",
      `source "${name}" is in the module no more, so that the address of its database is not known`,
      { hint: wayOut(name), details: { source: name } },
    );
  }
}

/** Until somebody has said what becomes of it. */
function holdsSlot({ state, hold }: CaptureProgress): boolean {
  return state !== "released" && hold?.kind !== "removed";
}

function warningOf(name: string, { slot, database }: CaptureProgress): string {
  return `source ${name} is in the module no more, and slot ${slot} in its database "${database}" holds that server's log without end`;
}

function wayOut(name: string): string {
  return `Put it back, or run: millrace sources remove ${name} --drop-slot --source postgres://user:password@host:5432/database`;
}

function statusOf([name, progress]: readonly [string, CaptureProgress]): SourceStatus {
  const { hold, slot, systemId, timeline, lsn } = progress;
  const held = holdsSlot(progress);
  return {
    name,
    type: "postgres",
    state: hold?.kind === "removed" ? { kind: "removed", slot: hold.slot, sinceMs: hold.atMs } : { kind: "left" },
    url: "",
    tables: [],
    changes: 0,
    transactions: 0,
    position: lsn,
    lagBytes: null,
    lagMs: null,
    reading: [],
    slot: held ? slot : null,
    server: { systemId, timeline },
    wal: null,
    orphans: [],
    warnings: held ? [`${warningOf(name, progress)}. ${wayOut(name)}`] : [],
  };
}
