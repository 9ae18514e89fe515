import { MillraceError } from "../../base/errors.ts";
import { segment } from "../answers.ts";
import { type Api, parseExact } from "../api.ts";
import { apiOf, type CommandContext, type CommandModule } from "../command.ts";
import { printCount, printNumber } from "../quantity.ts";

const batchLinesMax = 1_000;
const batchCharactersMax = 1024 * 1024;
/** A line that is longer than the door takes in one request. */
const lineCharactersMax = 32 * 1024 * 1024;

interface PublishFlags {
  readonly keyField?: string;
  readonly idempotencyKey?: string;
}

/** Lines that are sent together. */
interface Batch {
  readonly events: readonly string[];
  /** Of stdin, from 1 on. */
  readonly firstLine: number;
}

export const publishCommand: CommandModule = (program, context) => {
  program
    .command("publish <topic>")
    .description("append each line of stdin (JSON) to a topic as the value of an event")
    .option("--key-field <field>", "the field of the value that is the event's key")
    .option("--idempotency-key <key>", "the same lines, sent again with this key, are appended once")
    .addHelpText(
      "after",
      '\nExamples:\n  $ echo \'{"id": 7, "status": "paid"}\' | millrace publish payments --key-field id\n  $ millrace publish payments --idempotency-key import-7 < payments.ndjson\n  $ millrace tail orders | jq -c .value | millrace publish copy',
    )
    .action((topic: string, flags: PublishFlags) => publish(topic, flags, context));
};

async function publish(topic: string, flags: PublishFlags, context: CommandContext): Promise<void> {
  const { keyField, idempotencyKey } = flags;
  const api = apiOf(context);
  const progress = new Progress(context);
  let line = 0;
  let events: string[] = [];
  let firstLine = 1;
  let characters = 0;
  const send = async (): Promise<void> => {
    if (events.length === 0) return;
    await append(api, topic, { events, firstLine }, progress.done, idempotencyKey);
    progress.add(events.length);
    events = [];
    characters = 0;
  };
  try {
    for await (const lines of linesOf(context.input)) {
      for (const text of lines) {
        line++;
        if (text.trim() === "") continue;
        const event = eventOf(text, line, keyField);
        if (events.length >= batchLinesMax || characters + event.length > batchCharactersMax) await send();
        if (events.length === 0) firstLine = line;
        events.push(event);
        characters += event.length;
      }
      // What has arrived goes at once: a slow producer's event does not wait for the next one. But where the lines are
      // to be known again, what is sent together is told by them alone, and not by when they come.
      if (idempotencyKey === undefined) await send();
    }
    await send();
  } finally {
    progress.end();
  }
}

async function append(
  api: Api,
  topic: string,
  { events, firstLine }: Batch,
  done: number,
  idempotencyKey: string | undefined,
): Promise<void> {
  const headers = idempotencyKey === undefined ? {} : { "idempotency-key": `${idempotencyKey}/${firstLine}` };
  try {
    await api.post(`/v1/topics/${segment(topic)}`, "application/x-ndjson", `${events.join("\n")}\n`, headers);
  } catch (error) {
    if (!MillraceError.is(error)) throw error;
    // No answer came: the append may have happened.
    const unsure = error.code === "NOT_RUNNING" || error.action === "retry";
    const there = done === 0 ? "" : `The ${printNumber(done, "event")} before ${done === 1 ? "is" : "are"} there; `;
    const these = `${there === "" ? "The" : "the"} ${printNumber(events.length, "event")} that ${events.length === 1 ? "was" : "were"} sent`;
    const where =
      done === 0 && !unsure
        ? ""
        : `${there}${these} ${unsure ? "may be there or not" : events.length === 1 ? "is not" : "are not"}.`;
    const isRepeatable = idempotencyKey !== undefined && error.action !== "fix-request";
    const again = isRepeatable ? "Send the same lines again with the same key: none is appended twice." : "";
    throw new MillraceError(error.code, error.message, {
      hint: [hintFor(error, topic), where, again].filter(Boolean).join(" "),
      details: error.details,
      cause: error,
    });
  }
}

/** The door names requests; here there are commands. */
function hintFor(error: MillraceError, topic: string): string | undefined {
  if (error.code === "IDEMPOTENCY_KEY_REUSED") {
    return "Other lines, or lines with another --key-field, were sent with this --idempotency-key; take a new one for these.";
  }
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
