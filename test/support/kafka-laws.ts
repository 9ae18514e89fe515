/** The judge of a history of Kafka's clients: each law alone, and what breaks it in words. */
import { type KafkaHistory, type LogRecord, nameOf, type Position, readValue } from "./kafka-history.ts";

export interface Breach {
  readonly law: string;
  readonly words: string;
}

export const laws: { readonly [law: string]: (history: KafkaHistory) => Iterable<string> } = {
  "no acknowledged record is lost": lost,
  "retries outlast every outage": failed,
  "nothing is there that was not sent": invented,
  "what an idempotent or transactional producer sent is there once": doubled,
  "a producer's records keep their order in a partition": disordered,
  "nothing of an aborted transaction is committed": abortedSeen,
  "a committed transaction is whole": torn,
  "no transaction stays open": open,
  "what was read stays as it was read": changed,
  "a group's offsets never go back": wentBack,
  "a group reads every committed record": unread,
};

export function judge(history: KafkaHistory): Breach[] {
  return Object.entries(laws).flatMap(([law, breaches]) => [...breaches(history)].map((words) => ({ law, words })));
}

/** An acknowledgement inside a transaction is a promise only when the transaction commits. */
function* lost({ acks, uncommitted, sends, outcomes }: KafkaHistory): Iterable<string> {
  const found = byPlace(uncommitted);
  for (const { who, number, transaction } of sends) {
    const place = acks.get(nameOf(who, number));
    if (place === undefined) continue;
    if (transaction !== 0 && outcomes.get(nameOf(who, transaction)) !== "committed") continue;
    const { partition, offset } = place;
    const there = found.get(`${partition}@${offset}`);
    const sent = `${who} ${number} ${transaction}`;
    if (there !== sent) yield `${sent} was acknowledged at ${partition}@${offset}, where ${there ?? "nothing"} is`;
  }
}

/** Records of transactions fail when their transaction is aborted. */
function* failed({ failures, kinds }: KafkaHistory): Iterable<string> {
  for (const [name, words] of failures) {
    const kind = kinds.get(name.slice(0, name.lastIndexOf(" ")));
    if (kind !== "transactional") yield `${name}: ${words}`;
  }
}

function* invented({ sends, uncommitted, committed }: KafkaHistory): Iterable<string> {
  const sent = new Map(sends.map((each) => [`${each.who} ${each.number} ${each.transaction}`, each.partition]));
  const known = byPlace(uncommitted);
  for (const each of uncommitted) {
    if (sent.get(each.value) !== each.partition) yield `${placed(each)} was not sent there`;
  }
  for (const each of committed) {
    if (known.get(`${each.partition}@${each.offset}`) !== each.value)
      yield `${placed(each)} is only there as committed`;
  }
}

function* doubled({ kinds, committed }: KafkaHistory): Iterable<string> {
  const seen = new Map<string, LogRecord>();
  for (const each of committed) {
    if (kinds.get(readValue(each.value).who) === "plain") continue;
    const other = seen.get(each.value);
    if (other !== undefined) yield `${placed(other)} and ${placed(each)}`;
    seen.set(each.value, each);
  }
}

/** Of what is there more than once, which a plain producer may cause, the first counts. */
function* disordered({ committed }: KafkaHistory): Iterable<string> {
  const last = new Map<string, number>();
  const seen = new Set<string>();
  for (const each of committed) {
    if (seen.has(each.value)) continue;
    seen.add(each.value);
    const { who, number } = readValue(each.value);
    const line = `${who} in ${each.partition}`;
    const before = last.get(line);
    if (before !== undefined && before > number) yield `${placed(each)} comes after ${before}`;
    last.set(line, number);
  }
}

/** A transaction of which nobody asked that it be committed is aborted, whether its producer lived to do so or not. */
function* abortedSeen({ outcomes, committed, reads }: KafkaHistory): Iterable<string> {
  for (const each of [...committed, ...reads]) {
    const { who, transaction } = readValue(each.value);
    if (transaction === 0) continue;
    const outcome = outcomes.get(nameOf(who, transaction));
    if (outcome === undefined || outcome === "aborted") yield `${placed(each)} was seen`;
  }
}

/** All of it or nothing; and all of it when its producer was told so. */
function* torn({ outcomes, committed, sends }: KafkaHistory): Iterable<string> {
  const there = new Set(committed.map(({ value }) => value));
  const wanted = new Map<string, { sent: number; found: number }>();
  for (const { who, number, transaction } of sends) {
    if (transaction === 0) continue;
    const name = nameOf(who, transaction);
    const counts = wanted.get(name) ?? { sent: 0, found: 0 };
    wanted.set(name, counts);
    counts.sent++;
    if (there.has(`${who} ${number} ${transaction}`)) counts.found++;
  }
  for (const [name, { sent, found }] of wanted) {
    const outcome = outcomes.get(name);
    const good = found === sent || (outcome !== "committed" && found === 0);
    // What aborted transactions show is the law above.
    if (!good && (outcome === "asked" || outcome === "committed")) {
      yield `transaction ${name}, ${outcome}, has ${found} of ${sent} records`;
    }
  }
}

function* open({ ends }: KafkaHistory): Iterable<string> {
  for (const [partition, end] of ends.uncommitted.entries()) {
    const stable = ends.committed[partition];
    if (stable !== end) yield `partition ${partition} ends at ${end}, its stable part at ${stable}`;
  }
}

function* changed({ reads, committed, kinds, isCompacted }: KafkaHistory): Iterable<string> {
  const found = byPlace(committed);
  const last = new Map(committed.map((each) => [`${each.partition} ${each.value}`, each.offset]));
  for (const each of reads) {
    const now = found.get(`${each.partition}@${each.offset}`);
    if (now === each.value) continue;
    const isReplaced = (last.get(`${each.partition} ${each.value}`) ?? -1) > each.offset;
    if (now === undefined && isReplaced && isCompacted && kinds.get(readValue(each.value).who) === "plain") continue;
    yield `${each.who} read ${placed(each)}, where ${now ?? "nothing"} is`;
  }
}

/** What was acknowledged before a question or a commit began is the least that it may say. */
function* wentBack({ positions }: KafkaHistory): Iterable<string> {
  const lines = Map.groupBy(positions, ({ group, partition }) => `${group} ${partition}`);
  for (const [line, all] of lines) {
    const commits = all.filter(({ kind }) => kind === "commit").toSorted((a, b) => a.toUs - b.toUs);
    let least: Position | undefined;
    let next = 0;
    for (const each of all.toSorted((a, b) => a.fromUs - b.fromUs)) {
      for (let done = commits[next]; done !== undefined && done.toUs < each.fromUs; done = commits[++next]) {
        if (least === undefined || done.offset > least.offset) least = done;
      }
      if (least !== undefined && each.offset < least.offset) {
        yield `${line}: ${each.who} ${each.kind} ${each.offset}, after ${least.who} had committed ${least.offset}`;
      }
    }
  }
}

function* unread({ groups, reads, committed }: KafkaHistory): Iterable<string> {
  for (const group of groups) {
    const seen = new Set(
      reads.filter((each) => each.group === group).map((each) => `${each.partition}@${each.offset}`),
    );
    for (const each of committed) {
      if (!seen.has(`${each.partition}@${each.offset}`)) yield `${group} has not read ${placed(each)}`;
    }
  }
}

function byPlace(records: readonly LogRecord[]): Map<string, string> {
  return new Map(records.map(({ partition, offset, value }) => [`${partition}@${offset}`, value]));
}

function placed({ partition, offset, value }: LogRecord): string {
  return `${value} at ${partition}@${offset}`;
}
