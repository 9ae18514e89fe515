/**
 * A running program in the foreground: `dev` follows the edits of its module, `start` does not. It ends when a signal
 * asks for it, or when the launcher that minds it is gone; a second signal does not wait.
 */
import { dirname, join, relative } from "node:path";
import { MillraceError } from "../base/errors.ts";
import { arrange } from "../catalog/collect.ts";
import type { Definition } from "../catalog/definitions.ts";
import { topicTables } from "../catalog/topic-table.ts";
import { openDiagnostics } from "../observe/diagnostics.ts";
import { type MillraceOptions, type Running, startMillrace } from "../server.ts";
import { loadEnvironment } from "../settings.ts";
import { type CheckedView, checkViews, knowsTables } from "./check-views.ts";
import { type CommandContext, settingsIn } from "./command.ts";
import { printFailure } from "./failure.ts";
import { loadModule } from "./load-module.ts";
import { packageVersion } from "./package-version.ts";
import { checkPlatform, thisMachine } from "./platform.ts";
import { SnapshotProgress } from "./progress.ts";
import { schemaPaths, writeSchemaFiles } from "./schema-file.ts";
import { FileWatch } from "./watch.ts";

export interface RunOptions {
  /** The definition module, absolute. */
  readonly module: string;
  readonly mode: "dev" | "start";
  /** Where a relative MILLRACE_DATA, and its default, are taken from; the module's folder when left out. */
  readonly baseDirectory?: string;
  /** Runs when the store answers, before the module is loaded: it may set what the module reads. */
  readonly prepare?: NonNullable<MillraceOptions["prepare"]>;
  /** By source: what a refusal at the start is answered with. */
  readonly whenRefused?: ReadonlyMap<string, "resnapshot" | "adopt">;
  /** Called when all is up; what it answers is called before the end. */
  readonly onRunning?: (running: Running) => (() => Promise<void>) | undefined;
}

const lookEveryMs = 500;
/** npm and the terminal may deliver one Ctrl-C twice. */
const sameKeystrokeMs = 1_000;
const forcedExit = 130;

/** Resolves when the program has stopped. Throws what keeps it from starting. */
export async function runProgram(options: RunOptions, context: CommandContext): Promise<void> {
  const { terminal } = context;
  checkPlatform(thisMachine());
  const end = new Ending(context);
  try {
    const settings = settingsIn(options.baseDirectory ?? dirname(options.module));
    loadEnvironment(dirname(options.module));
    const progress = new SnapshotProgress(terminal);
    const diagnostics = openDiagnostics({
      level: settings.diagnostics,
      pretty: terminal.interactive,
      colours: terminal.interactive && !settings.noColor,
      ...(terminal.interactive ? { destination: progress.diagnostics } : {}),
    });
    let definitions: readonly Definition[] = [];
    let files: readonly string[] = [options.module];
    const load = async (): Promise<readonly Definition[]> => {
      const loaded = await loadModule(options.module, context.clock);
      files = loaded.files;
      if ("error" in loaded) throw loaded.error;
      definitions = loaded.definitions;
      refuseUnknownAnswers(options.whenRefused, definitions);
      return definitions;
    };
    // What is wrong with the module is said before anything is started for it.
    if (options.prepare === undefined) await load();
    const running = await startMillrace({
      definitions: options.prepare === undefined ? definitions : load,
      mode: options.mode,
      settings,
      diagnostics,
      version: packageVersion(),
      ...(options.whenRefused && { whenRefused: options.whenRefused }),
      ...(options.prepare === undefined ? {} : { prepare: options.prepare }),
    });
    printAddresses(running, options, context);
    const finish = options.onRunning?.(running);
    if (definitions.length === 0) {
      terminal.note(
        `${options.module} exports no definitions yet: export a source, postgres("shop", { url, tables }).`,
      );
    }
    const follow = new Follow(running, options, context, () => ({ definitions, files }), load);
    try {
      while (!end.asked) {
        await end.orAfter(lookEveryMs);
        progress.show(running.sources.list());
        // A service that cannot go on where it stopped must not look as if it did; `dev` shows it, and goes on.
        const refusal = options.mode === "start" ? running.sources.refusedAtStart() : null;
        if (refusal !== null) throw refusal;
        await follow.writeSchema();
      }
    } finally {
      progress.close();
      await follow.close();
      // Over the ^C that the terminal shows.
      if (end.asked) terminal.note(`${terminal.interactive ? "\r\u001b[K" : ""}stopping`);
      await finish?.();
      await running.stop();
    }
  } finally {
    end.close();
  }
}

/** An answer for a source that is not there would be taken for one that was given. Throws `USAGE_INVALID`. */
function refuseUnknownAnswers(answers: RunOptions["whenRefused"], definitions: readonly Definition[]): void {
  for (const [name, answer] of answers ?? []) {
    if (definitions.some((one) => one.kind === "source" && one.name === name)) continue;
    throw new MillraceError(
      "USAGE_INVALID",
      `--${answer} names "${name}", and the module exports no source of this name`,
    );
  }
}

function printAddresses(
  { addresses }: Running,
  { module, mode }: RunOptions,
  { terminal, directory }: CommandContext,
): void {
  const { user, host, port, database } = addresses.store;
  terminal.print(`${terminal.style("bold", "millrace")} ${mode} ${relative(directory, module) || module}`);
  terminal.print(`  console and HTTP  ${terminal.style("cyan", addresses.http)}`);
  if (addresses.kafka !== null) terminal.print(`  Kafka protocol    ${addresses.kafka}`);
  terminal.print(`  store (psql)      postgres://${user}@${host}:${port}/${database}`);
}

/** What `dev` does beside serving: reloads on edits, keeps the schema file. */
class Follow {
  readonly #running: Running;
  readonly #options: RunOptions;
  readonly #context: CommandContext;
  readonly #state: () => { definitions: readonly Definition[]; files: readonly string[] };
  readonly #load: () => Promise<readonly Definition[]>;
  readonly #watch: FileWatch | null = null;
  #reloading: Promise<void> = Promise.resolve();
  /** The definitions that the program runs: a broken edit does not change them. */
  #taken: readonly Definition[];
  #checkedFor: readonly Definition[] | null = null;
  #wanted: readonly string[] = [];
  #schemaFailed = false;
  #closed = false;

  constructor(
    running: Running,
    options: RunOptions,
    context: CommandContext,
    state: () => { definitions: readonly Definition[]; files: readonly string[] },
    load: () => Promise<readonly Definition[]>,
  ) {
    this.#running = running;
    this.#options = options;
    this.#context = context;
    this.#state = state;
    this.#load = load;
    this.#taken = state().definitions;
    if (options.mode !== "dev") return;
    this.#watch = new FileWatch(context.clock, () => {
      this.#reloading = this.#reloading.then(() => this.#reload());
    });
    this.#watchFiles();
  }

  /**
   * When every table has been seen in its source, and every view that compiles stands; before, an older file is worth
   * more. What does not compile is told once.
   */
  async writeSchema(): Promise<void> {
    if (this.#options.mode !== "dev") return;
    const definitions = this.#taken;
    const schema = this.#running.schemaFile();
    if (!knowsTables(schema.tables, definitions)) return;
    if (this.#checkedFor !== definitions) {
      this.#checkedFor = definitions;
      this.#wanted = this.#report(await checkViews(definitions, schema.tables, schema.views));
    }
    if (!this.#wanted.every((name) => schema.views.some((view) => view.name === name))) return;
    try {
      const paths = schemaPaths(this.#options.module);
      const { terminal, directory } = this.#context;
      const named = (path: string): string => relative(directory, path);
      const arranged = arrange(definitions);
      if (writeSchemaFiles(paths, schema, topicTables(arranged), arranged.views))
        terminal.note(`wrote ${named(paths.schema)} and ${named(paths.types)}`);
      this.#schemaFailed = false;
    } catch (error) {
      if (!this.#schemaFailed)
        this.#context.terminal.note(`the schema file cannot be written: ${(error as Error).message}`);
      this.#schemaFailed = true;
    }
  }

  /** The names of the views that compile. */
  #report(checked: readonly CheckedView[]): string[] {
    for (const { error } of checked) {
      if (error !== null) printFailure(this.#context.terminal, error);
    }
    return checked.filter(({ error }) => error === null).map(({ view }) => view);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watch?.close();
    await this.#reloading;
  }

  async #reload(): Promise<void> {
    if (this.#closed) return;
    const { terminal } = this.#context;
    try {
      loadEnvironment(dirname(this.#options.module));
      const definitions = await this.#load();
      await this.#refuse(definitions);
      await this.#running.reload(definitions);
      this.#taken = definitions;
      this.#watchFiles();
      terminal.note(terminal.styleNote("green", `reloaded: ${summaryOf(definitions)}`));
    } catch (error) {
      this.#watchFiles({ anything: true });
      printFailure(terminal, error);
      terminal.note("  the definitions from before go on");
    }
  }

  /** Throws what is wrong with the first view that is refused, as far as the tables that it reads are known. */
  async #refuse(definitions: readonly Definition[]): Promise<void> {
    const { tables, views } = this.#running.schemaFile();
    if (!knowsTables(tables, definitions)) return;
    const checked = await checkViews(definitions, tables, views);
    const refused = checked.find(({ error }) => error !== null);
    if (refused?.error) throw refused.error;
    this.#checkedFor = definitions;
    this.#wanted = checked.map(({ view }) => view);
  }

  #watchFiles(options: { anything?: boolean } = {}): void {
    this.#watch?.set([...this.#state().files, join(dirname(this.#options.module), ".env")], options);
  }
}

function summaryOf(definitions: readonly Definition[]): string {
  const names = (kind: Definition["kind"]): string => {
    return definitions.flatMap((one) => (one.kind === kind ? [one.name] : [])).join(", ") || "none";
  };
  return `sources ${names("source")}; views ${names("view")}; topics ${names("topic")}`;
}

/** That the end was asked for. The second time it is there at once. */
class Ending {
  readonly #abort = new AbortController();
  readonly #context: CommandContext;
  readonly #unlisten: () => void;
  #askedMs = 0;

  constructor(context: CommandContext) {
    this.#context = context;
    this.#unlisten = context.onSignal(() => this.#signalled());
    context.onLauncherGone(() => this.#ask());
  }

  get asked(): boolean {
    return this.#abort.signal.aborted;
  }

  async orAfter(ms: number): Promise<void> {
    await this.#context.clock.sleep(ms, this.#abort.signal).catch(() => {});
  }

  close(): void {
    this.#unlisten();
  }

  #ask(): void {
    this.#askedMs = this.#context.clock.monotonicMs();
    this.#abort.abort();
  }

  #signalled(): void {
    if (!this.asked) {
      this.#ask();
    } else if (this.#context.clock.monotonicMs() - this.#askedMs > sameKeystrokeMs) {
      this.#context.terminal.note("stopped without waiting: what was acknowledged is on disk");
      this.#context.exit(forcedExit);
    }
  }
}
