/**
 * One group beside `main`, with the store that it lives in: opened, and as long as that fails tried again, while nobody
 * waits for it. Once it is open its own session takes care of the store's trouble (`group.ts`).
 *
 * Always true: whatever happens to its store is told in its state and to those who read its views, and is thrown at
 * nobody else.
 */
import { MillraceError } from "../base/errors.ts";
import type { GroupDefinition, ViewDefinition } from "../catalog/definitions.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { Store } from "../store/store.ts";
import { AbsentGroupReader } from "./absent-group.ts";
import { storeTrouble } from "./applier-failure.ts";
import { type Group, type GroupCondition, type GroupOptions, type GroupSource, isFinal, openGroup } from "./group.ts";
import { openReader } from "./reader.ts";
import type { Unread } from "./unread.ts";
import type { ViewsReader } from "./view-info.ts";

/** What a group is to keep. */
export interface GroupWork {
  readonly definitions: readonly ViewDefinition[];
  readonly sources: readonly GroupSource[];
  readonly topics: readonly TableShape[];
}

export interface GroupUnitOptions extends Omit<GroupOptions, "name" | "store" | keyof GroupWork> {
  readonly definition: GroupDefinition;
  readonly work: GroupWork;
  readonly rowCacheBytesMax: number;
  readonly unread: Unread;
  openStore(definition: GroupDefinition): Promise<Store>;
  /** Another reader is to be asked from now on, or what the one before says has changed. */
  onChange(): void;
}

interface OpenUnit {
  readonly store: Store;
  readonly group: Group;
  readonly reader: ViewsReader;
}

const pauseMsMin = 500;
const pauseMsMax = 15_000;

export class GroupUnit {
  readonly definition: GroupDefinition;
  readonly #options: GroupUnitOptions;
  readonly #closing = new AbortController();
  readonly #absent: ViewsReader;
  readonly #letGo: () => void;
  #work: GroupWork;
  #open: OpenUnit | null = null;
  /** Why it is not open. */
  #problem: MillraceError;
  #running: Promise<void> = Promise.resolve();

  constructor(options: GroupUnitOptions) {
    this.definition = options.definition;
    this.#options = options;
    this.#work = options.work;
    const { name } = options.definition;
    this.#problem = new MillraceError("STORE_UNAVAILABLE", `group "${name}" is being opened`);
    this.#absent = new AbsentGroupReader(
      () => this.#work.definitions,
      () => this.#problem,
    );
    this.#letGo = options.unread.hold(
      name,
      () => this.group,
      () => this.#work.topics,
    );
  }

  /** Once. Resolves when it is open, or was not to be had for the first time. */
  start(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#running = this.#run(resolve);
    return promise;
  }

  get reader(): ViewsReader {
    return this.#open?.reader ?? this.#absent;
  }

  /** Null until it was to be had. */
  get store(): Store | null {
    return this.#open?.store ?? null;
  }

  get group(): Group | null {
    return this.#open?.group ?? null;
  }

  condition(): GroupCondition {
    const kind = isFinal(this.#problem) ? "stopped" : "waiting";
    return this.#open?.group.condition() ?? { kind, error: this.#problem };
  }

  /** As `Group.reload`, but waits for no store; what is not open yet begins with it. Throws nothing. */
  async reload(work: GroupWork): Promise<void> {
    this.#work = work;
    if (this.#open) await arranged(this.#open.group, work);
    else if (this.condition().kind === "stopped") await this.start();
  }

  async close(): Promise<void> {
    this.#closing.abort(new MillraceError("SHUTTING_DOWN", "the view group is closing"));
    await this.#running;
    this.#letGo();
    if (!this.#open) return;
    const { reader, group, store } = this.#open;
    reader.close();
    await group.close();
    await store.close();
  }

  async #run(tried: () => void): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#closing;
    for (let pauseMs = pauseMsMin; !signal.aborted; pauseMs = Math.min(pauseMsMax, pauseMs * 2)) {
      try {
        await this.#tryOpen();
        break;
      } catch (cause) {
        this.#failed(storeErrorOf(this.definition, storeTrouble(cause)));
        if (isFinal(this.#problem)) break;
      }
      tried();
      await clock.sleep(pauseMs * (0.5 + this.#options.random.next()), signal).catch(() => {});
    }
    tried();
    this.#options.onChange();
  }

  async #tryOpen(): Promise<void> {
    const { definition, work: _, unread: __, rowCacheBytesMax, openStore, onChange, ...options } = this.#options;
    const work = this.#work;
    const store = await openStore(definition);
    try {
      const group = await openGroup({ ...options, ...work, name: definition.name, store });
      const reader = openReader({ group, store, clock: options.clock, rowCacheBytesMax });
      group.onChange(onChange);
      store.onChange(onChange);
      this.#open = { store, group, reader };
    } catch (cause) {
      await store.close();
      throw cause;
    }
    // Whoever reloaded meanwhile found nothing to tell it to.
    if (this.#work !== work) await this.reload(this.#work);
  }

  #failed(error: MillraceError): void {
    const { code, message: reason } = error;
    if (this.#problem.message !== reason) {
      const told = { group: this.definition.name, code, reason };
      this.#options.diagnostics.error("a group of views is not open; the others go on", told);
    }
    this.#problem = error;
    this.#options.onChange();
  }
}

/** Until the views are as they are to be, or something is in the way. */
async function arranged(group: Group, { definitions, sources, topics }: GroupWork): Promise<void> {
  const { promise: inTrouble, resolve } = Promise.withResolvers<void>();
  const look = () => {
    if (group.condition().kind !== "running") resolve();
  };
  const stop = group.onChange(look);
  look();
  await Promise.race([group.reload(definitions, sources, topics).catch(() => {}), inTrouble]);
  stop();
}

/** A failure of the store, which says which group it is of, and where its address is said. */
export function storeErrorOf({ name, store }: GroupDefinition, error: MillraceError): MillraceError {
  const said = store === null ? "MILLRACE_STORE" : `group("${name}", { store })`;
  const { hint } = error;
  return new MillraceError(error.code, `group "${name}": ${error.message.replaceAll("MILLRACE_STORE", said)}`, {
    ...(hint === undefined ? {} : { hint: hint.replaceAll("MILLRACE_STORE", said) }),
    details: { ...error.details, group: name },
    cause: error,
  });
}
