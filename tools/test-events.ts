/** What the reporter writes down about a run, line by line, and how the one who waits for the run reads it. */
import { readFileSync } from "node:fs";

export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** For people: a test and where it is, or what is wrong with the runner. At most as many as `failed`. */
  readonly failures: readonly string[];
}

export type TestEvent =
  | { readonly kind: "begun" | "done"; readonly name: string; readonly place: string }
  | { readonly kind: "failed"; readonly name: string; readonly place: string; readonly reason: string }
  | { readonly kind: "counts"; readonly counts: Omit<TestCounts, "failures"> };

export interface TestEvents {
  readonly counts: TestCounts;
  readonly begun: boolean;
  /** Begun and not done, in the order of their beginning. */
  readonly running: readonly { readonly name: string; readonly place: string }[];
}

export function readTestEvents(path: string): TestEvents {
  let counts: Omit<TestCounts, "failures"> | undefined;
  const failures: string[] = [];
  let begun = false;
  const running = new Map<string, { name: string; place: string }>();
  for (const line of readFileSync(path, "utf8").split("\n")) {
    const event = parse(line);
    if (event === undefined) continue;
    if (event.kind === "counts") counts = event.counts;
    else if (event.kind === "failed") failures.push(`${event.name} (${event.place}): ${event.reason}`);
    else if (event.kind === "begun") {
      begun = true;
      running.set(`${event.place} ${event.name}`, event);
    } else running.delete(`${event.place} ${event.name}`);
  }
  return {
    counts: { ...(counts ?? { passed: 0, failed: 0, skipped: 0 }), failures },
    begun,
    running: [...running.values()],
  };
}

/** The last line may still be on its way. */
function parse(line: string): TestEvent | undefined {
  try {
    return JSON.parse(line) as TestEvent;
  } catch {
    return undefined;
  }
}
