/**
 * What Kafka has answered to a fixed script of requests, and what the door answers to the same: the answers are equal but
 * for ids, times, addresses and words, and for what `meant` has with its reason.
 */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { Comparable, differencesBetween } from "../../test/conformance/kafka/wire/comparable.ts";
import { readRecording } from "../../test/conformance/kafka/wire/recording.ts";
import { scenario } from "../../test/conformance/kafka/wire/scenario.ts";
import { type Exchange, runScript } from "../../test/conformance/kafka/wire/script.ts";
import { DoorClient, openDoor } from "./door.fixture.ts";
import type { Listener } from "./door-settings.ts";

interface Meant {
  /** Of steps, by their names. */
  readonly steps: RegExp;
  /** Of fields in the answer; everything when there is none. */
  readonly fields?: RegExp;
  readonly why: string;
}

const meant: readonly Meant[] = [
  {
    steps: /^ApiVersions v/,
    fields: /^apiKeys\.(34|38|39|40|41|64|7[6-9]|8[0-9]|9[0-2])$/,
    why: "share and streams groups, delegation tokens and what is between brokers are not served",
  },
  {
    steps: /^ApiVersions v/,
    fields: /^(supported|finalized)Features\.(eligible|kraft|metadata|share|streams)\./,
    why: "features of Kafka's own storage and of what is not served",
  },
  {
    steps: /^CreateTopics v7: only looked at$/,
    fields: /topicId$/,
    why: "a topic that is not made has no id; Kafka tells one that it then forgets",
  },
  {
    steps: /^CreatePartitions v\d: strangers$/,
    fields: /^results\.placed-7\.errorCode$/,
    why: "more partitions than a topic may have are INVALID_PARTITIONS; Kafka fails on too many records at once",
  },
  {
    steps: /^the first batch again$/,
    fields: /logAppendTimeMs$/,
    why: "of a batch that comes again the place is known, and no time; clients read it for LogAppendTime alone",
  },
  {
    steps: /^Produce of a batch and half of another$/,
    why: "bytes behind the batch are no batch, and INVALID_RECORD; Kafka takes the batch and drops them",
  },
  {
    steps: /^Produce of a batch in a codec that is not there$/,
    why: "an unknown codec is INVALID_RECORD; Kafka fails on it",
  },
  {
    steps: /^(commits to|offsets of) a group without a name$/,
    why: "a group without a name has no offsets; Kafka keeps it for clients before KIP-289",
  },
  { steps: /^commits below zero$/, why: "an offset below zero is refused; Kafka keeps it" },
  {
    steps: /^all groups$/,
    fields: /^groups\.(|below|refused)$/,
    why: "follows from the two above; and a join that was refused leaves no group behind",
  },
  {
    steps: /^(the second protocol has ended|it has aborted)$/,
    fields: /activeProducers\.producer #\d+\.(producerEpoch|lastSequence)$/,
    why: "a marker has the epoch of its transaction; Kafka's has the next one",
  },
  {
    steps: /^what is read at level/,
    fields: /(highWatermark|lastStableOffset|records)(\[\d+\]\.producerEpoch)?$/,
    why: "a marker becomes readable with its partition's next write, and has the epoch of its transaction",
  },
  {
    steps: /^offsets of a transaction from no member$/,
    fields: /errorCode$/,
    why: "whether the member is one is asked first, and the transaction after it",
  },
  {
    steps: /^(IncrementalAlterConfigs v\d|ListConfigResources .*|DescribeConfigs of all of a group)$/,
    fields: /\.32 a-group(\.|$)/,
    why: "groups have no configs of their own",
  },
  {
    steps: /^IncrementalAlterConfigs v\d: refusal 3$/,
    why: "an operation that is not there is the client's mistake (INVALID_REQUEST); Kafka fails on it",
  },
  {
    steps: /^what v\d has altered$/,
    fields: /min\.insync\.replicas\.configSource$/,
    why: "it is the default; Kafka's eligible leader replicas set it for the cluster",
  },
  {
    steps: /^DescribeQuorum v/,
    fields: /leaderEpoch$|highWatermark$|logEndOffset$|^nodes\.1$/,
    why: "there is no quorum, and no controller's listener",
  },
  {
    steps: /^(CreateAcls v\d: refusal [4-7]|D\w+Acls v.*)$/,
    fields: /^results\.|beside-[4-7] 3$/,
    why: "a rule that cannot be is refused alone; Kafka fails on it, and makes none of the request",
  },
  {
    steps: /^SaslAuthenticate without a handshake$/,
    why: "it is told why (ILLEGAL_SASL_STATE) before the connection is closed",
  },
  {
    steps: /^a stranger: DescribeUserScramCredentials$/,
    fields: /^results\.$/,
    why: "Kafka adds a user without a name",
  },
];

const listener = (name: string, protocol: Listener["protocol"]): Listener => ({
  ...{ name, protocol, host: "127.0.0.1", port: 0, advertised: { host: null, port: null } },
});

describe("the door answers as Kafka has", () => {
  let exchanges: Exchange[];
  const used = new Set<Meant>();
  const wrong = new Map<string, string[]>();

  before(async () => {
    exchanges = await answersOfDoor();
    const recorded = readRecording();
    const names = (all: readonly { readonly name: string }[]) => all.map(({ name }) => name);
    assert.deepEqual(names(recorded), names(scenario), "the recording is of another script; see record-frames.ts");
    const ours = new Comparable();
    const kafkas = new Comparable();
    for (const [index, exchange] of exchanges.entries()) {
      const { step } = exchange;
      const answered = [ours.of(exchange), kafkas.of({ ...exchange, response: recorded[index]?.response ?? null })];
      for (const difference of differencesBetween(answered[0], answered[1])) {
        const found = meant.find(({ steps, fields = /^/ }) => steps.test(step.name) && fields.test(difference.place));
        if (found) used.add(found);
        else wrong.set(step.api.name, [...(wrong.get(step.api.name) ?? []), sentenceOf(step.name, difference)]);
      }
    }
  });

  for (const name of new Set(scenario.map(({ api }) => api.name)))
    test(name, () => assert.equal((wrong.get(name) ?? []).join("\n"), ""));

  test("each difference that is meant is one", () => {
    const gone = meant.filter((one) => !used.has(one)).map(({ steps, why }) => `${steps}: ${why}`);
    assert.deepEqual(gone, []);
  });
});

function sentenceOf(name: string, difference: ReturnType<typeof differencesBetween>[number]): string {
  const short = (value: unknown) => (JSON.stringify(value) ?? "nothing").slice(0, 400);
  const { place, ours, kafkas } = difference;
  return `${name}: ${place || "the answer"} is ${short(ours)}, and Kafka's ${short(kafkas)}`;
}

async function answersOfDoor(): Promise<Exchange[]> {
  await using open = await openDoor(
    { failedAuthenticationDelayMs: 0 },
    {
      listeners: [listener("PLAINTEXT", "PLAINTEXT"), listener("SASL", "SASL_PLAINTEXT")],
      groups: { initialRebalanceDelayMs: 0 },
    },
    {
      authorization: true,
      superUsers: ["User:ANONYMOUS"],
      mechanisms: ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
    },
  );
  const clients: DoorClient[] = [];
  try {
    return await runScript(scenario, async (connection) => {
      const { port = 0 } = open.door.addresses.get(connection.startsWith("sasl") ? "SASL" : "PLAINTEXT") ?? {};
      const client = await DoorClient.connect(port);
      clients.push(client);
      return client;
    });
  } finally {
    for (const client of clients) client.close();
  }
}
