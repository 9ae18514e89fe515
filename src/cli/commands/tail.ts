import { MillraceError } from "../../base/errors.ts";
import type { EventAnswer, EventsAnswer } from "../answers.ts";
import { segment } from "../answers.ts";
import type { Api } from "../api.ts";
import { apiOf, type CommandContext, type CommandModule } from "../command.ts";

const formats = ["ndjson", "json", "raw"] as const;
type Format = (typeof formats)[number];

interface TailOptions {
  readonly from: string;
  readonly partition?: string;
  readonly format: string;
  readonly limit?: string;
  readonly follow: boolean;
}

const pageEvents = 1_000;
const wait = "30s";
const retryMs = 1_000;

export const tailCommand: CommandModule = (program, context) => {
  program
    .command("tail <topic>")
    .description("print the events of a topic and go on as they come")
    .option(
      "--from <place>",
      "earliest, latest, an offset (with --partition when there are several) or a time",
      "latest",
    )
    .option("--partition <number>", "only this partition")
    .option("--format <format>", `${formats.join(", ")}: an event per line, indented, or the bare value`, "ndjson")
    .option("-n, --limit <count>", "stop after so many events")
    .option("--no-follow", "stop at the end")
    .addHelpText(
      "after",
      "\nExamples:\n  $ millrace tail orders --from earliest -n 10\n  $ millrace tail orders --from 2026-11-21T10:00:00Z\n  $ millrace tail orders | jq -c .value | millrace publish copy",
    )
    .action((topic: string, options: TailOptions) => tail(topic, options, context));
};

async function tail(topic: string, options: TailOptions, context: CommandContext): Promise<void> {
  const format = formatOf(options.format);
  const left = options.limit === undefined ? Number.POSITIVE_INFINITY : wholeNumber("--limit", options.limit);
  checkFrom(options.from);
  const api = apiOf(context);
  const stop = new AbortController();
  const unlisten = context.onSignal(() => stop.abort());
  try {
    await follow(api, topic, { ...options, format, left }, context, stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    unlisten();
  }
}

async function follow(
  api: Api,
  topic: string,
  options: Omit<TailOptions, "format"> & { readonly format: Format; readonly left: number },
  { terminal, clock }: CommandContext,
  signal: AbortSignal,
): Promise<void> {
  const path = `/v1/topics/${segment(topic)}/events`;
  const partition = await partitionOf(api, topic, options);
  let from = options.from;
  let left = options.left;
  let begun = false;
  while (left > 0) {
    const query = new URLSearchParams({ from, limit: String(Math.min(pageEvents, left)) });
    // A cursor knows its partitions; an offset needs its own.
    if (partition !== undefined) query.set("partition", partition);
    if (options.follow && begun) query.set("wait", wait);
    let page: EventsAnswer;
    try {
      page = (await api.get(`${path}?${query}`, signal)) as EventsAnswer;
    } catch (error) {
      // A program that is restarted in between is waited for: the cursor holds.
      if (!begun || !options.follow || !MillraceError.is(error) || !passes(error)) throw error;
      await clock.sleep(retryMs, signal);
      continue;
    }
    begun = true;
    left -= page.events.length;
    from = page.next;
    if (page.events.length > 0) await terminal.write(page.events.map((event) => print(event, options.format)).join(""));
    if (!options.follow && page.events.length === 0) return;
  }
}

/** An offset without a partition is meant for the only one. */
async function partitionOf(api: Api, topic: string, options: Omit<TailOptions, "format">): Promise<string | undefined> {
  if (options.partition !== undefined) return String(wholeNumber("--partition", options.partition));
  if (!/^\d+$/.test(options.from)) return undefined;
  const { partitions } = (await api.get(`/v1/topics/${segment(topic)}`)) as { partitions: unknown[] };
  if (partitions.length === 1) return "0";
  throw new MillraceError(
    "USAGE_INVALID",
    `topic "${topic}" has ${partitions.length} partitions, each with its own offsets`,
    {
      hint: `Add --partition 0, or say where to begin by a time.`,
    },
  );
}

const cursorForm = /^[A-Za-z0-9_-]{16,}$/;

/** Another word would be taken for the cursor of an answer, and be refused as one that is damaged. */
function checkFrom(from: string): void {
  const place = /^(earliest|latest|\d+|\d{4}-\d\d-\d\d.*)$/.test(from);
  if (place || cursorForm.test(from)) return;
  throw new MillraceError("USAGE_INVALID", `--from is ${JSON.stringify(from)}`, {
    hint: "It is earliest, latest, an offset, a time like 2026-11-21T10:00:00Z, or the next of an earlier answer.",
  });
}

function passes(error: MillraceError): boolean {
  return error.code === "NOT_RUNNING" || error.action === "retry" || error.action === "wait";
}

function print(event: EventAnswer, format: Format): string {
  switch (format) {
    case "ndjson":
      return `${JSON.stringify(event)}\n`;
    case "json":
      return `${JSON.stringify(event, null, 2)}\n`;
    case "raw":
      return `${rawValue(event.value)}\n`;
  }
}

function rawValue(value: unknown): string {
  if (value !== null && typeof value === "object" && "base64" in value && Object.keys(value).length === 1) {
    return Buffer.from(String(value.base64), "base64").toString();
  }
  return typeof value === "string" ? value : JSON.stringify(value);
}

function formatOf(text: string): Format {
  const format = formats.find((one) => one === text);
  if (format !== undefined) return format;
  throw new MillraceError("USAGE_INVALID", `--format is ${JSON.stringify(text)}`, {
    hint: `It is one of ${formats.join(", ")}.`,
  });
}

function wholeNumber(option: string, text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new MillraceError("USAGE_INVALID", `${option} is ${JSON.stringify(text)}, which is no whole number`);
}
