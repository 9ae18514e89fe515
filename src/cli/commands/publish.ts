import { MillraceError } from "../../base/errors.ts";
import { segment } from "../answers.ts";
import { type Api, parseExact } from "../api.ts";
import { apiOf, type CommandContext, type CommandModule } from "../command.ts";
import { printCount, printNumber } from "../quantity.ts";

const batchLinesMax = 1_000;
const batchCharactersMax = 1024 * 1024;
/** A line that is longer than the door takes in one request. */
const lineCharactersMax = 32 * 1024 * 1024;

export const publishCommand: CommandModule = (program, context) => {
  program
    .command("publish <topic>")
    .description("append each line of stdin (JSON) to a topic as the value of an event")
    .option("--key-field <field>", "the field of the value that is the event's key")
    .addHelpText(
      "after",
      '\nExamples:\n  $ echo \'{"id": 7, "status": "paid"}\' | millrace publish payments --key-field id\n  $ millrace tail orders | jq -c .value | millrace publish copy',
    )
    .action((topic: string, { keyField }: { keyField?: string }) => publish(topic, keyField, context));
};

async function publish(topic: string, keyField: string | undefined, context: CommandContext): Promise<void> {
  const api = apiOf(context);
  const progress = new Progress(context);
  let line = 0;
  let batch: string[] = [];
  let characters = 0;
  const send = async (): Promise<void> => {
    if (batch.length === 0) return;
    await append(api, topic, batch, progress.done);
    progress.add(batch.length);
    batch = [];
    characters = 0;
  };
  try {
    // What has arrived goes at once: a slow producer's event does not wait for the next one.
    for await (const lines of linesOf(context.input)) {
      for (const text of lines) {
        line++;
        if (text.trim() === "") continue;
        const event = eventOf(text, line, keyField);
        if (batch.length >= batchLinesMax || characters + event.length > batchCharactersMax) await send();
        batch.push(event);
        characters += event.length;
      }
      await send();
    }
  } finally {
    progress.end();
  }
}

async function append(api: Api, topic: string, batch: readonly string[], done: number): Promise<void> {
  try {
    await api.post(`/v1/topics/${segment(topic)}`, "application/x-ndjson", `${batch.join("\n")}\n`);
  } catch (error) {
    if (!MillraceError.is(error)) throw error;
    // No answer came: the append may have happened.
    const unsure = error.code === "NOT_RUNNING" || error.action === "retry";
    const there = done === 0 ? "" : `The ${printNumber(done, "event")} before ${done === 1 ? "is" : "are"} there; `;
    const these = `${there === "" ? "The" : "the"} ${printNumber(batch.length, "event")} that ${batch.length === 1 ? "was" : "were"} sent`;
    const where =
      done === 0 && !unsure
        ? ""
        : `${there}${these} ${unsure ? "may be there or not" : batch.length === 1 ? "is not" : "are not"}.`;
    throw new MillraceError(error.code, error.message, {
      hint: [hintFor(error, topic), where].filter(Boolean).join(" "),
      details: error.details,
      cause: error,
    });
  }
}

/** The door names requests; here there are commands. */
function hintFor(error: MillraceError, topic: string): string | undefined {
  if (error.code !== "TOPIC_UNKNOWN") return error.hint;
  const meant = error.hint?.startsWith("Did you mean") ? `${error.hint} ` : "";
  return `${meant}millrace topics list shows them; millrace topics create ${topic} makes it.`;
}

/** The line stays as it was written; only its key is looked up. */
function eventOf(text: string, line: number, keyField: string | undefined): string {
  let value: unknown;
  try {
    value = parseExact(text);
  } catch (cause) {
    throw new MillraceError("USAGE_INVALID", `line ${line} is not JSON: ${(cause as Error).message}`, {
      hint: "Each line is one JSON value; jq -c writes them so.",
    });
  }
  if (keyField === undefined) return `{"value":${text.trim()}}`;
  const key = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[keyField] : undefined;
  if (key === undefined || key === null) {
    throw new MillraceError("USAGE_INVALID", `line ${line} has no field ${JSON.stringify(keyField)} for its key`);
  }
  return `{"key":${JSON.stringify(typeof key === "string" ? key : JSON.stringify(key))},"value":${text.trim()}}`;
}

/** Whole lines, as many as each chunk completes. */
async function* linesOf(input: AsyncIterable<Uint8Array>): AsyncGenerator<string[]> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of input) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > lineCharactersMax) {
      throw new MillraceError("RECORD_TOO_LARGE", `a line is longer than ${printCount(lineCharactersMax)} characters`);
    }
    if (lines.length > 0) yield lines;
  }
  rest += decoder.decode();
  if (rest !== "") yield [rest];
}

/** Counts on the screen while it goes on, and in a line at the end. */
class Progress {
  readonly #context: CommandContext;
  readonly #beganMs: number;
  #shownMs = 0;
  done = 0;

  constructor(context: CommandContext) {
    this.#context = context;
    this.#beganMs = context.clock.monotonicMs();
  }

  add(count: number): void {
    this.done += count;
    const { terminal, clock } = this.#context;
    if (!terminal.interactive || clock.monotonicMs() - this.#shownMs < 100) return;
    this.#shownMs = clock.monotonicMs();
    terminal.errors.write(`\r${this.#text()}\u001b[K`);
  }

  end(): void {
    const { terminal } = this.#context;
    // An error that follows says that nothing was sent.
    if (this.done === 0) return;
    terminal.note(`${terminal.interactive ? "\r" : ""}${this.#text()}${terminal.interactive ? "\u001b[K" : ""}`);
  }

  #text(): string {
    const seconds = (this.#context.clock.monotonicMs() - this.#beganMs) / 1_000;
    const rate = seconds > 1 ? `, ${printCount(Math.round(this.done / seconds))}/s` : "";
    return `${printNumber(this.done, "event")} published${rate}`;
  }
}
