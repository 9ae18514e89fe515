/**
 * What a start makes of the transactions that partitions have open: each is ended as it was decided, goes on when its
 * holder is a client behind a protocol, or is aborted. It touches nothing (transaction-coordinator.ts does).
 *
 * Always true: the end of a partition's log is lost before what lies in front of it, so that of one producer and epoch a
 * partition has at most one transaction open, the earliest whose marker is not there.
 */
import type { PartitionPlace } from "./log-context.ts";
import type { Partition } from "./partition.ts";
import type { OpenTransaction } from "./producer-table.ts";
import type { DecidedTransaction, Decision, ProducerIdentity, ProducerState } from "./transaction-records.ts";
import { newWork, type OpenWork } from "./transactional-ids.ts";

export interface FoundTransaction<P> {
  readonly partition: P;
  readonly transaction: OpenTransaction;
}

export interface RecoveryPlan<P> {
  readonly ended: readonly (FoundTransaction<P> & { readonly outcome: Decision })[];
  /** Undecided, of holders that went with the process: they must not go on with it. */
  readonly interrupted: ReadonlySet<ProducerState>;
  /** By transactional id. */
  readonly goesOn: ReadonlyMap<string, readonly FoundTransaction<P>[]>;
}

/** Of the records that were read, in their order. */
export class Decisions {
  readonly #byProducer = new Map<string, DecidedTransaction[]>();

  add(decided: DecidedTransaction): void {
    const key = keyOf(decided);
    const same = this.#byProducer.get(key);
    if (same) same.push(decided);
    else this.#byProducer.set(key, [decided]);
  }

  /** Undefined when it is undecided: the decisions that there are were about earlier ones. */
  outcomeOf({ topicId, partition }: PartitionPlace, open: OpenTransaction): Decision | undefined {
    return this.#byProducer.get(keyOf(open))?.find(({ ends }) => {
      if (!ends) return true;
      return ends.some((end) => end[0] === topicId && end[1] === partition && open.firstOffset < end[2]);
    })?.outcome;
  }
}

export function planRecovery<P extends { readonly place: PartitionPlace }>(
  found: readonly FoundTransaction<P>[],
  decisions: Decisions,
  stateOf: (producerId: number) => ProducerState | undefined,
): RecoveryPlan<P> {
  const ended: (FoundTransaction<P> & { readonly outcome: Decision })[] = [];
  const interrupted = new Set<ProducerState>();
  const goesOn = new Map<string, FoundTransaction<P>[]>();
  for (const each of found) {
    const { partition, transaction } = each;
    const decided = decisions.outcomeOf(partition.place, transaction);
    const state = stateOf(transaction.producerId);
    const isHolders = decided === undefined && state?.epoch === transaction.epoch;
    if (state && isHolders && state.wire) {
      const parts = goesOn.get(state.transactionalId);
      if (parts) parts.push(each);
      else goesOn.set(state.transactionalId, [each]);
      continue;
    }
    if (state && isHolders) interrupted.add(state);
    ended.push({ ...each, outcome: decided ?? "abort" });
  }
  return { ended, interrupted, goesOn };
}

function keyOf({ producerId, epoch }: ProducerIdentity): string {
  return `${producerId}:${epoch}`;
}

/** What a client goes on with: its state without what was stored of the open transaction, and that one; undefined when none is open. */
export function reopen(
  state: ProducerState | undefined,
  found: readonly FoundTransaction<Partition>[],
  byPlace: ReadonlyMap<string, Partition>,
  { nowMs, nextOffset }: { readonly nowMs: number; readonly nextOffset: number },
): { readonly state: ProducerState; readonly work: OpenWork } | undefined {
  const { open: stored, ...wire } = state?.wire ?? {};
  if (!state?.wire || (!stored && found.length === 0)) return undefined;
  const startedMs = Math.min(nowMs, stored?.startedMs ?? nowMs, ...found.map((each) => each.transaction.startedMs));
  const work: OpenWork = { ...newWork(startedMs), storedEnd: stored ? nextOffset : 0 };
  for (const [topicId, number] of stored?.partitions ?? []) {
    const partition = byPlace.get(`${topicId}/${number}`);
    // What one that does not serve has of it is not known: the transaction cannot be committed.
    const endOffset = partition?.failure ? Number.POSITIVE_INFINITY : 0;
    if (partition) work.touched.set(partition, { endOffset, sequence: 0 });
  }
  for (const { partition } of found) work.touched.set(partition, { endOffset: partition.nextOffset, sequence: 0 });
  return { state: { ...state, wire }, work };
}
