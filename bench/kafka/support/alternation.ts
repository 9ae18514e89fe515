/** Several subjects measured in turn, round after round, so that the machine's mood is in all of them. */
import type { BenchmarkOutcome, BenchmarkSize, Measurement, Progress } from "../../harness.ts";
import { openSubject, type Subject, type SubjectName, type SubjectOptions, subjectMissing } from "./subjects.ts";

export interface Figures {
  readonly value: number;
  readonly unit: string;
  readonly details?: Readonly<Record<string, number>>;
}

export interface Alternation<Name extends SubjectName, S extends Subject> {
  readonly size: BenchmarkSize;
  readonly subjects: readonly Name[];
  readonly rounds: number;
  readonly progress: Progress;
  /** What the null server answers. */
  readonly options?: SubjectOptions;
  /** Opens each anew for each round, one at a time. Left out, all stay open through all rounds, the first of which is warm-up. */
  readonly open?: (name: Name) => Promise<S>;
  /** Says what this machine lacks to measure the rest. */
  readonly notes?: readonly (string | undefined)[];
  /** By the name of a case. */
  measure(subject: S, round: number): Promise<Readonly<Record<string, Figures>>>;
}

export interface Alternated {
  /** Of each case the medians by subject, in the order of the subjects. */
  readonly cases: ReadonlyMap<string, ReadonlyMap<SubjectName, Figures>>;
  readonly notes: readonly string[];
}

/** The tiny form starts a real Kafka only where the environment asks for it: `npm test` has none. */
function isLeftOut(name: SubjectName, size: BenchmarkSize): boolean {
  return size === "tiny" && name.startsWith("kafka") && process.env.MILLRACE_BENCH_KAFKA !== "1";
}

export async function alternate<Name extends SubjectName, S extends Subject = Subject>(
  alternation: Alternation<Name, S>,
): Promise<Alternated> {
  const { size, options, rounds, progress, open } = alternation;
  const wanted = alternation.subjects.filter((name) => !isLeftOut(name, size));
  const missing = wanted.map(subjectMissing);
  const names = wanted.filter((_, index) => missing[index] === undefined);
  const seen = new Map<string, Map<SubjectName, Figures[]>>();
  const measure = async (subject: S, round: number, counts: boolean) => {
    progress(`round ${round} of ${rounds}: ${subject.name}`);
    const figures = await alternation.measure(subject, round);
    for (const [name, one] of Object.entries(counts ? figures : {})) {
      const bySubject = seen.get(name) ?? new Map<SubjectName, Figures[]>();
      seen.set(name, bySubject);
      bySubject.set(subject.name, [...(bySubject.get(subject.name) ?? []), one]);
    }
  };
  if (open) {
    for (let round = 1; round <= Math.max(1, rounds); round++) {
      for (const name of names) {
        await using subject = await open(name);
        await measure(subject, round, true);
      }
    }
  } else {
    await using stack = new AsyncDisposableStack();
    const opened: S[] = [];
    for (const name of names) opened.push(stack.use((await openSubject(name, options)) as S));
    for (let round = 0; round <= rounds; round++) {
      for (const subject of opened) await measure(subject, round, round > 0 || rounds === 0);
    }
  }
  const cases = [...seen].map(([name, bySubject]) => {
    return [name, new Map([...bySubject].map(([subject, all]) => [subject, medianOf(all)] as const))] as const;
  });
  const notes = [...missing, ...(alternation.notes ?? [])].filter((note) => note !== undefined);
  return { cases: new Map(cases), notes };
}

/** A measurement for each case and subject, ours with all others of its case as its bounds. `bound` is one of them. */
export function outcomeOf(alternated: readonly Alternated[], bound: string): BenchmarkOutcome {
  const results = alternated.flatMap(({ cases }) => [...cases].flatMap(([name, all]) => measurementsOf(name, all)));
  const notes = [...new Set(alternated.flatMap((one) => one.notes))];
  const [first, ...rest] = results;
  if (!first) throw new Error(`nothing could be measured: ${notes.join("; ")}`);
  const isThere = results.some(({ name }) => name === bound) && first.name !== bound;
  return { results: [first, ...rest], bound: isThere ? bound : null, ...(notes.length > 0 && { notes }) };
}

function measurementsOf(name: string, bySubject: ReadonlyMap<SubjectName, Figures>): Measurement[] {
  const others = [...bySubject.keys()].filter((subject) => subject !== "millrace");
  return [...bySubject].map(([subject, { value, unit, details }]) => {
    const bounds = subject === "millrace" ? others.map((other) => `${name}, ${other}`) : [];
    return {
      name: `${name}, ${subject}`,
      value,
      unit,
      ...(details && { details }),
      ...(bounds.length > 0 && { bounds }),
    };
  });
}

function medianOf(all: readonly Figures[]): Figures {
  const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
  const names = Object.keys(all[0]?.details ?? {});
  const values = all.map(({ value }) => value);
  return {
    value: median([...values]),
    unit: all[0]?.unit ?? "",
    details: {
      least: Math.min(...values),
      most: Math.max(...values),
      ...Object.fromEntries(
        names.map((name) => [name, median(all.map(({ details }) => details?.[name] ?? Number.NaN))]),
      ),
    },
  };
}
