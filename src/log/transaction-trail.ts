/**
 * What the batches of one partition say about transactions: which are open, and which ended with an abort marker.
 * The same steps are taken when a batch is appended and when it is read back.
 */
export interface OpenTransaction {
  readonly producerId: number;
  readonly epoch: number;
  readonly firstOffset: number;
}

export interface AbortedRange {
  readonly producerId: number;
  readonly firstOffset: number;
  /** Of the abort marker. */
  readonly lastOffset: number;
}

export interface TrailSnapshot {
  readonly open: readonly OpenTransaction[];
  readonly aborted: readonly AbortedRange[];
}

export class TransactionTrail {
  readonly #open = new Map<number, OpenTransaction>();
  /** In the order of their markers. */
  readonly #aborted: AbortedRange[] = [];

  constructor(snapshot?: TrailSnapshot) {
    for (const entry of snapshot?.open ?? []) this.#open.set(entry.producerId, entry);
    this.#aborted.push(...(snapshot?.aborted ?? []));
  }

  /** A batch of a transaction's records. */
  data(producerId: number, epoch: number, baseOffset: number): void {
    if (!this.#open.has(producerId)) this.#open.set(producerId, { producerId, epoch, firstOffset: baseOffset });
  }

  /** A marker; one without records before it changes nothing. */
  marker(kind: "commit" | "abort", producerId: number, offset: number): void {
    const open = this.#open.get(producerId);
    if (!open) return;
    this.#open.delete(producerId);
    if (kind === "abort") this.#aborted.push({ producerId, firstOffset: open.firstOffset, lastOffset: offset });
  }

  open(): OpenTransaction[] {
    return [...this.#open.values()];
  }

  isOpen(producerId: number): boolean {
    return this.#open.has(producerId);
  }

  /** The first offset of the earliest open transaction; infinity when none is open. */
  firstOpenOffset(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const { firstOffset } of this.#open.values()) if (firstOffset < first) first = firstOffset;
    return first;
  }

  /** Aborted ones with records in [from, end). */
  abortedIn(from: number, end: number): AbortedRange[] {
    // Markers come in offset order, so the ones that ended before `from` are at the front.
    let low = 0;
    for (let high = this.#aborted.length; low < high; ) {
      const middle = (low + high) >> 1;
      if ((this.#aborted[middle] as AbortedRange).lastOffset < from) low = middle + 1;
      else high = middle;
    }
    const found: AbortedRange[] = [];
    for (let i = low; i < this.#aborted.length; i++) {
      const entry = this.#aborted[i] as AbortedRange;
      if (entry.firstOffset < end) found.push(entry);
    }
    return found;
  }

  snapshot(): TrailSnapshot {
    return { open: this.open(), aborted: [...this.#aborted] };
  }
}
