/**
 * Numbers of transactions that lie close to each other, as those of one transaction's subtransactions do: a bit each, so
 * that ten million of them take little more than a megabyte.
 */
const pageBits = 4_096;

export class XidSet {
  /** By the number of the first of its transactions, divided by `pageBits`. */
  readonly #pages = new Map<number, Uint8Array>();

  add(xid: number): void {
    const number = Math.floor(xid / pageBits);
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = new Uint8Array(pageBits / 8);
      this.#pages.set(number, page);
    }
    const bit = xid % pageBits;
    page[bit >> 3] = (page[bit >> 3] as number) | (1 << (bit & 7));
  }

  has(xid: number): boolean {
    const page = this.#pages.get(Math.floor(xid / pageBits));
    const bit = xid % pageBits;
    return page !== undefined && ((page[bit >> 3] as number) & (1 << (bit & 7))) !== 0;
  }

  /** What it holds of memory, about. */
  get bytes(): number {
    return this.#pages.size * (pageBits / 8);
  }
}
