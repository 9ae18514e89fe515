/**
 * Producers and members of groups at work while the broker, and some of them, are killed and started again; then peace,
 * until every group has read what there is.
 *
 * Always true at the end: the history holds all that the clients did and all that the log has.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";
import { HistoryLines, type ProducerKind } from "../support/kafka-history.ts";
import { freePort } from "../support/ports.ts";
import { type Program, runProgram } from "../support/program.ts";
import { type Language, type Role, VerifiableClient } from "./verifiable-clients.ts";

export interface VerifiableOptions {
  readonly seed: number;
  readonly seconds: number;
  /** Of the broker, on average. */
  readonly killEveryMs: number;
  /** Of one of the clients, on average: it is killed, or it stops as it should, and another takes its place. */
  readonly clientEveryMs: number;
  /** Between two sends, or two transactions, of one producer. */
  readonly pauseMs: number;
  /** Of the largest records; most have a 64th of it at most. */
  readonly fillerBytesMax: number;
  readonly say: (line: string) => void;
  /** Instead: producers alone, and what a disk that lies would do to the data between a kill and the next start. */
  readonly harm?: (data: string) => void;
}

interface Seat {
  readonly language: Language;
  roles(incarnation: number): readonly Role[];
  readonly canBeKilled: boolean;
}

const topic = "verifiable";
const partitions = 8;
const farewellMs = 5_000;
const script = ["src/cli/millrace.ts", "start", "test/crash/process/empty-app.ts"];

const producers: readonly (readonly [who: string, language: Language, kind: ProducerKind, compression: string])[] = [
  ["java-whole", "java", "transactional", "lz4"],
  ["java-plain", "java", "plain", "none"],
  ["python-whole", "python", "transactional", "zstd"],
  ["python-once", "python", "idempotent", "gzip"],
];

/** Dead members keep their partitions for so long, and after each start of the broker anew. */
const sessionMs = { classic: 6_000, consumer: 45_000 } as const;

const patienceMs = 2 * sessionMs.consumer;

/** Which members a group has: of both languages, one of them static in each protocol. */
function seatsOf({ pauseMs, fillerBytesMax, killEveryMs }: VerifiableOptions, assignor: string): Seat[] {
  const member = (language: Language, group: string, more: { instanceId?: string }): Seat => ({
    language,
    roles: (incarnation) => [
      {
        role: "consumer",
        who: `${language}-${group}-${more.instanceId ?? "any"}-${incarnation}`,
        group,
        topic,
        protocol: group === "classic" ? "classic" : "consumer",
        assignor,
        ...more,
      },
    ],
    // Only a static member of the classic protocol is replaced at once.
    canBeKilled: (group === "classic" && more.instanceId !== undefined) || killEveryMs >= 2 * sessionMs.classic,
  });
  const makers = (["java", "python"] as const).map(
    (language): Seat => ({
      language,
      roles: (incarnation) =>
        producers
          .filter(([, its]) => its === language)
          .map(([who, , mode, compression]) => ({
            role: "producer",
            who,
            mode,
            topic,
            partitions,
            compression,
            fillerBytesMax,
            pauseMs,
            first: incarnation * 1_000_000,
          })),
      canBeKilled: true,
    }),
  );
  return [
    ...makers,
    member("java", "classic", { instanceId: "desk-1" }),
    member("java", "classic", {}),
    member("python", "classic", { instanceId: "desk-2" }),
    member("python", "classic", {}),
    member("java", "consumer", {}),
    member("python", "consumer", { instanceId: "desk-3" }),
    member("python", "consumer", {}),
  ];
}

function isMaker(seat: Seat): boolean {
  return seat.roles(0)[0]?.role === "producer";
}

export async function verifiableRun(options: VerifiableOptions): Promise<HistoryLines> {
  const run = new VerifiableRun(options);
  try {
    return await run.run();
  } finally {
    await run.end();
  }
}

class VerifiableRun {
  readonly #options: VerifiableOptions;
  readonly #random: Random;
  readonly #data = mkdtempSync(join(tmpdir(), "millrace-verifiable-"));
  readonly #history: HistoryLines;
  readonly #clients = new Map<Seat, VerifiableClient>();
  readonly #names = new Map<Seat, string>();
  readonly #seats: readonly Seat[];
  #program: Program | undefined;
  #observer: VerifiableClient | undefined;
  #port = 0;
  #incarnations = 0;
  #kills = 0;
  /** What is not done while the broker is away. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: VerifiableOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    const seats = seatsOf(options, this.#random.below(2) === 0 ? "range" : "cooperative-sticky");
    this.#seats = options.harm ? seats.filter(isMaker) : seats;
    const kinds = new Map(producers.map(([who, , kind]) => [who, kind]));
    this.#history = new HistoryLines(kinds, options.harm ? [] : ["classic", "consumer"], this.#random.below(2) === 1);
  }

  get #bootstrap(): string {
    return `127.0.0.1:${this.#port}`;
  }

  async run(): Promise<HistoryLines> {
    this.#port = await freePort();
    await this.#start();
    await this.#makeTopic();
    const groups = this.#history.groups;
    this.#observer = this.#open("java", [{ role: "observer", groups, topic }]);
    for (const seat of this.#seats) this.#seat(seat);
    const deadline = systemClock.monotonicMs() + patienceMs;
    const isAtWork = (group: string) => this.#history.reads.some((each) => each.group === group);
    while (!(groups.every(isAtWork) && this.#history.acks.size > 0) && systemClock.monotonicMs() < deadline)
      await systemClock.sleep(100);
    await this.#harass();
    await this.#settle();
    return this.#history;
  }

  async end(): Promise<void> {
    await Promise.all([...this.#clients.values(), this.#observer].map((client) => client?.kill()));
    // Not killed: its store would outlive it.
    await this.#program?.stop();
    rmSync(this.#data, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    const env = { MILLRACE_KAFKA_PORT: String(this.#port) };
    this.#program = await runProgram({ script, data: this.#data, env });
  }

  async #makeTopic(): Promise<void> {
    // No two records have one key, so that compaction must keep all that is committed.
    const cleanup = this.#history.isCompacted ? { cleanup: "compact", dirtyRatio: 0, segmentAge: "10s" } : {};
    const response = await fetch(`${this.#program?.address}/v1/topics/${topic}`, {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ partitions, segment: "1MB", ...cleanup }),
    });
    if (!response.ok) throw new Error(`the topic was not made: ${await response.text()}`);
  }

  #open(language: Language, roles: readonly Role[]): VerifiableClient {
    return VerifiableClient.start(language, this.#bootstrap, roles, this.#history);
  }

  #seat(seat: Seat): void {
    const roles = seat.roles(this.#incarnations++);
    this.#names.set(seat, String(roles[0]?.who));
    this.#clients.set(seat, this.#open(seat.language, roles));
  }

  /** Broker and clients are killed side by side, each in its own time. */
  async #harass(): Promise<void> {
    const until = systemClock.monotonicMs() + this.#options.seconds * 1_000;
    const again = async (everyMs: number, act: () => Promise<void>) => {
      for (;;) {
        const wait = everyMs / 2 + this.#random.below(everyMs);
        if (systemClock.monotonicMs() + wait > until) return;
        await systemClock.sleep(wait);
        await act();
      }
    };
    await Promise.all([
      again(this.#options.killEveryMs, () => this.#killBroker()),
      again(this.#options.clientEveryMs, () => this.#changeClient()),
    ]);
  }

  #killBroker(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#program?.kill();
      this.#options.harm?.(this.#data);
      this.#kills++;
      await this.#start();
    });
  }

  async #changeClient(): Promise<void> {
    const seat = this.#seats[this.#random.below(this.#seats.length)] as Seat;
    const client = this.#clients.get(seat);
    const stop = () => this.#withPatience(client?.stop(), `a client of ${seat.language} does not stop`);
    if (seat.canBeKilled && this.#random.below(2) === 0) await client?.kill();
    else if (isMaker(seat)) await stop();
    else {
      await this.#inTurn(async () => {
        await this.#heardOf(seat);
        await stop();
      });
    }
    this.#seat(seat);
  }

  /** Until it has found the broker again and said something: a farewell that nobody hears is a death. */
  async #heardOf(seat: Seat): Promise<void> {
    const who = this.#names.get(seat);
    const said = () => this.#history.positions.filter((each) => each.who === who).length;
    const before = said();
    const deadline = systemClock.monotonicMs() + farewellMs;
    while (said() === before && systemClock.monotonicMs() < deadline) await systemClock.sleep(100);
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  /** Producers end, the log is read, and the groups read on until they have it all. */
  async #settle(): Promise<void> {
    const begun = systemClock.monotonicMs();
    const makers = this.#seats.filter(isMaker);
    await this.#withPatience(
      Promise.all(makers.map((seat) => this.#clients.get(seat)?.stop())),
      "a producer does not stop",
    );
    await this.#withPatience(
      this.#open("java", [{ role: "reader", topic, partitions }]).ended(),
      "the log cannot be read to its end",
    );
    const deadline = systemClock.monotonicMs() + patienceMs;
    const left = () => this.#history.groups.reduce((sum, group) => sum + this.#history.left(group), 0);
    while (left() > 0 && systemClock.monotonicMs() < deadline) await systemClock.sleep(250);
    const members = this.#seats.filter((seat) => !makers.includes(seat));
    await this.#withPatience(
      Promise.all(members.map((seat) => this.#clients.get(seat)?.stop())),
      "a member does not stop",
    );
    await this.#observer?.stop();
    const { sends, reads, acks, positions, outcomes, committed, words } = this.#history;
    const assignments = this.#history.groups.map((group) => {
      return `${words.filter((each) => each.startsWith("assigned") && each.includes(`"${group}"`)).length} in ${group}`;
    });
    this.#options.say(
      `${this.#kills} kills of the broker, ${this.#incarnations} clients, assignments: ${assignments.join(" and ")}; ` +
        `${sends.length} sends, ${acks.size} acknowledged, ` +
        `${outcomes.size} transactions, ${committed.length} records committed, ${reads.length} reads, ${positions.length} positions; ` +
        `peace after ${Math.round(systemClock.monotonicMs() - begun)} ms`,
    );
  }

  async #withPatience(work: Promise<unknown> | undefined, complaint: string): Promise<void> {
    const timer = new AbortController();
    const late = systemClock.sleep(patienceMs, timer.signal).then(
      () => true,
      () => false,
    );
    try {
      if ((await Promise.race([work?.then(() => false), late])) !== true) return;
      const words = [...this.#clients.values()].map((client) => client.words).join("");
      const last = this.#history.words.slice(-40).join("\n");
      throw new Error(`${complaint}\n${words}\n${last}\n${this.#program?.words()}`);
    } finally {
      timer.abort();
    }
  }
}
