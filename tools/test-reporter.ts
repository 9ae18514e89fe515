/**
 * The runner's `spec` report as it is, with the skipped tests and their reasons listed before its summary, and what
 * begins and ends written to the file that MILLRACE_TEST_EVENTS names.
 */
import { appendFileSync } from "node:fs";
import { relative } from "node:path";
import { spec } from "node:test/reporters";
import type { TestEvent } from "./test-events.ts";

interface FailureOf {
  readonly message?: string;
  readonly cause?: unknown;
  readonly failureType?: string;
}

interface Seen {
  readonly type: string;
  readonly data: {
    readonly name?: string;
    readonly file?: string;
    readonly line?: number;
    readonly nesting?: number;
    readonly skip?: string | boolean;
    readonly message?: string;
    readonly details?: { readonly error?: FailureOf };
    readonly counts?: { passed: number; failed: number; cancelled: number; skipped: number; todo: number };
  };
}

const eventsFile = process.env.MILLRACE_TEST_EVENTS;

export default async function* report(source: AsyncIterable<Seen>): AsyncGenerator<string> {
  const printer = new spec();
  const skipped: string[] = [];
  for await (const event of source) {
    note(event);
    const { type, data } = event;
    if (type === "test:pass" && data.skip) {
      const reason = typeof data.skip === "string" ? data.skip.replace(/^skipped: /, "") : "no reason given";
      skipped.push(`skipped: ${data.name}: ${reason}\n`);
    }
    if (type === "test:diagnostic" && data.nesting === 0 && /^tests \d+$/.test(data.message ?? "")) {
      yield skipped.join("");
    }
    yield* print(printer, event);
  }
  yield* print(printer, undefined);
}

async function* print(printer: InstanceType<typeof spec>, event: Seen | undefined): AsyncGenerator<string> {
  if (event === undefined) printer.end();
  else printer.write(event);
  for (let chunk = printer.read(); chunk !== null; chunk = printer.read()) yield String(chunk);
}

function note({ type, data }: Seen): void {
  const place = `${data.file === undefined ? "" : relative(process.cwd(), data.file)}:${data.line ?? ""}`;
  const name = data.name ?? "";
  if (type === "test:dequeue") write({ kind: "begun", name, place });
  else if (type === "test:complete") write({ kind: "done", name, place });
  else if (type === "test:fail") noteFailure(name, place, data.details?.error);
  else if (type === "test:summary" && data.file === undefined && data.counts !== undefined) {
    const { passed, failed, cancelled, skipped, todo } = data.counts;
    write({ kind: "counts", counts: { passed, failed: failed + cancelled, skipped: skipped + todo } });
  }
}

/** A suite that failed for a test in it has nothing to say of its own. */
function noteFailure(name: string, place: string, error: FailureOf | undefined): void {
  if (error?.failureType === "subtestsFailed") return;
  const { cause = error?.message } = error ?? {};
  const said = cause instanceof Error ? cause.message : String(cause);
  const reason = said
    .trim()
    .replaceAll(/\s*\n\s*/g, " ")
    .slice(0, 300);
  write({ kind: "failed", name, place, reason });
}

function write(event: TestEvent): void {
  if (eventsFile !== undefined) appendFileSync(eventsFile, `${JSON.stringify(event)}\n`);
}

// Asked for by the one who waits, when the run does not end.
process.on("SIGUSR2", () => {
  const counted = new Map<string, number>();
  for (const resource of process.getActiveResourcesInfo()) counted.set(resource, (counted.get(resource) ?? 0) + 1);
  const list = [...counted].map(([resource, count]) => `${count} × ${resource}`);
  process.stderr.write(`\ntest: alive in process ${process.pid}: ${list.join(", ") || "nothing"}\n`);
});
