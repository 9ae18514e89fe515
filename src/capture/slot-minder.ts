/**
 * What is known of a source's slot from one look to the next: what to warn of, when a limit is passed, and whether a slot
 * that was to be dropped is gone.
 */
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import type { PostgresDefinition } from "../catalog/definitions.ts";
import { giveUpSlot, lookFromOutside } from "./give-up.ts";
import { decideWal, type SlotLook, slotWarnings } from "./slot-look.ts";
import { sourceError } from "./source-error.ts";

export interface SlotMinderOptions {
  readonly definition: PostgresDefinition;
  readonly slot: string;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
}

export class SlotMinder {
  readonly #options: SlotMinderOptions;
  #look: SlotLook | null = null;
  #armed = true;
  #restartSeen: string | null = null;
  #dropFault: string | null = null;
  #said = new Set<string>();

  constructor(options: SlotMinderOptions) {
    this.#options = options;
  }

  get look(): SlotLook | null {
    return this.#look;
  }

  get dropFailed(): boolean {
    return this.#dropFault !== null;
  }

  /**
   * Answers where the slot's log began at the look before: the server has saved that place by now. Null before the stream
   * has begun: nobody knows until then whether this is the server that was left.
   */
  take(look: SlotLook, { streaming }: { readonly streaming: boolean }): string | null {
    this.#look = look;
    const saved = streaming ? this.#restartSeen : null;
    this.#restartSeen = streaming ? look.restart : null;
    const said = new Set<string>();
    for (const warning of this.#slotWarnings()) {
      const form = warning.replace(/\d+/g, "0");
      said.add(form);
      if (!this.#said.has(form)) {
        this.#options.diagnostics.warn(warning, { source: this.#options.definition.name });
      }
    }
    this.#said = said;
    return saved;
  }

  /** What the definition's limit asks for, by the last look. */
  decide(): "nothing" | "pause" | "drop-slot" {
    const { armed, act } = decideWal(this.#look?.wal ?? null, this.#options.definition, this.#armed);
    this.#armed = armed;
    return act;
  }

  /** The limit is not held against what has gathered by now. */
  letFlow(): void {
    this.#armed = false;
    this.#dropFault = null;
  }

  /** The slot is another one, or was set to another place. */
  madeAnew(): void {
    this.#restartSeen = null;
  }

  /** For a source that stands still. Throws what connecting throws. */
  async lookFromOutside(): Promise<void> {
    const { definition, slot } = this.#options;
    this.take(await lookFromOutside(definition, slot), { streaming: false });
    this.#armed = true;
  }

  /** Never throws: what failed stands in the warnings. */
  async drop(publications: boolean): Promise<void> {
    const { definition, slot, clock, diagnostics } = this.#options;
    try {
      await giveUpSlot(definition, slot, { publications, clock });
      this.#dropFault = null;
      this.#look = null;
    } catch (cause) {
      const error = sourceError(cause, definition).message;
      this.#dropFault = `slot ${slot} could not be dropped, and holds the source's log until it is: ${error}`;
      diagnostics.warn("a replication slot could not be given up", {
        source: definition.name,
        slot,
        error,
        hint: `select pg_drop_replication_slot('${slot}')`,
      });
    }
  }

  warnings(): string[] {
    return this.#dropFault === null ? this.#slotWarnings() : [...this.#slotWarnings(), this.#dropFault];
  }

  /** Why the limit was passed. */
  heldSentence(): string {
    const held = Math.round((this.#look?.wal?.heldBytes ?? 0) / 1024 ** 2);
    const limit = Math.round((this.#options.definition.walHeldBytesMax ?? 0) / 1024 ** 2);
    return `the slot holds ${held} MiB of the server's log, and walHeldBytesMax is ${limit} MiB`;
  }

  #slotWarnings(): string[] {
    return this.#look === null ? [] : slotWarnings(this.#look, this.#options.definition.walHeldBytesMax);
  }
}

/** For the status of a source that a limit has paused. */
export function walFullError(source: string, because: string): MillraceError {
  return new MillraceError("SOURCE_WAL_FULL", `source "${source}" has paused: ${because}`, {
    hint: `millrace sources resume ${source} goes on and lets it flow off; millrace sources pause ${source} --drop-slot gives the slot up, and a resume then takes a new snapshot. Until one of them the server's disk fills.`,
    details: { source },
  });
}
