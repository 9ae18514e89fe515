/** Ids of rows that are told apart by nothing but their number: one comes behind those that are equal, and the last goes first. */
export class Copies {
  readonly #counts = new Map<string, number>();

  clear(): void {
    this.#counts.clear();
  }

  add(text: string): string {
    const count = (this.#counts.get(text) ?? 0) + 1;
    this.#counts.set(text, count);
    return `${text} ${count}`;
  }

  remove(text: string): string {
    const count = this.#counts.get(text) ?? 0;
    if (count > 1) this.#counts.set(text, count - 1);
    else this.#counts.delete(text);
    return `${text} ${count}`;
  }
}
