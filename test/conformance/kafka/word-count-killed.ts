/** The word count on our program, with both killed, and on a real Kafka in peace: the counts must be the same. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../src/base/clock.ts";
import { type Random, seededRandom } from "../../../src/base/random.ts";
import { startKafka } from "../../support/kafka.ts";
import { freePort } from "../../support/ports.ts";
import { type Program, runProgram } from "../../support/program.ts";
import { countWords, lastOf, linesOf, type WordCounts, type WorkInProgress, wordCount } from "./word-count.ts";

export interface KilledWordCount {
  readonly seed: number;
  readonly linesPerSecond: number;
  /** In each of them the broker is killed twice, and each instance of the application once. */
  readonly rounds: number;
  /** After which only a round that has begun is ended. */
  readonly seconds: number;
  readonly say: (line: string) => void;
}

const script = ["src/cli/millrace.ts", "start", "test/crash/process/empty-app.ts"];
/** Between two kills something must happen, and be under way. */
const countsBetween = 100;
const waitMs = 1_500;

export async function proveWordCount(options: KilledWordCount): Promise<void> {
  const ours = await countOnMillrace(options);
  assertExact(ours);
  const theirs = await countOnKafka(ours.lines, options.say);
  assertExact(theirs);
  assert.deepEqual(lastOf(ours.read), lastOf(theirs.read));
}

/** One, two, three: every count of every word once, and the last ones are the plain count. */
function assertExact(counts: WordCounts): void {
  const expected = countWords(counts.lines);
  assert.equal(counts.acknowledged, counts.lines.length);
  for (const shown of [counts.followed, counts.read]) {
    for (const [word, each] of shown) {
      const plain = Array.from(each, (_, index) => index + 1);
      assert.deepEqual(each, plain, `the counts of ${word}`);
    }
    assert.deepEqual(lastOf(shown), expected);
  }
  assert.deepEqual(lastOf(counts.changelog), expected);
}

async function countOnMillrace({ seed, linesPerSecond, rounds, seconds, say }: KilledWordCount): Promise<WordCounts> {
  const data = mkdtempSync(join(tmpdir(), "millrace-streams-"));
  const port = await freePort();
  const start = () => runProgram({ script, data, env: { MILLRACE_KAFKA_PORT: String(port) } });
  const random = seededRandom(seed);
  let program: Program = await start();
  try {
    const killBroker = async () => {
      await program.kill();
      program = await start();
    };
    const run = async ({ instances, progress }: WorkInProgress) => {
      const until = systemClock.monotonicMs() + seconds * 1_000;
      for (let round = 0; round < rounds && systemClock.monotonicMs() < until; round++) {
        const kills = [killBroker, killBroker, ...instances.map((each) => () => each.kill())];
        // As its user would, now and then.
        if (round % 3 === 2) kills.push(() => instances[0]?.restart() ?? Promise.resolve());
        for (const kill of shuffled(kills, random)) {
          await progress(countsBetween);
          await systemClock.sleep(random.below(waitMs));
          await kill();
        }
      }
    };
    return await wordCount({
      bootstrap: `127.0.0.1:${port}`,
      lines: linesOf(seed),
      instances: 2,
      harass: { linesPerSecond, run },
      patienceMs: 60_000,
      say,
    });
  } finally {
    // Not killed: its store would outlive it.
    await program.stop();
    rmSync(data, { recursive: true, force: true });
  }
}

async function countOnKafka(lines: readonly string[], say: (line: string) => void): Promise<WordCounts> {
  await using kafka = await startKafka();
  return await wordCount({ bootstrap: kafka.bootstrap, lines, instances: 1, patienceMs: 60_000, say });
}

function shuffled<T>(all: readonly T[], random: Random): T[] {
  const rest = [...all];
  return all.map(() => rest.splice(random.below(rest.length), 1)[0] as T);
}
