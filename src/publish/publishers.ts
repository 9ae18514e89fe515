/** All publishers of the process: by their definitions, replaced when one changes, stopped together. */
import { Gate } from "../base/gate.ts";
import type { Publication } from "../catalog/publishing.ts";
import type { PublicationInfo, PublicationsInfo } from "./publication-info.ts";
import { Publisher, type PublisherOptions } from "./publisher.ts";

/** A swap of one view begins a generation, and every topic is compared. */
const comparisonsMax = 2;

export class Publishers implements PublicationsInfo {
  readonly #options: Omit<PublisherOptions, "comparisons">;
  readonly #comparisons = new Gate(comparisonsMax);
  /** By topic. */
  readonly #publishers = new Map<string, Publisher>();

  constructor(options: Omit<PublisherOptions, "comparisons">) {
    this.#options = options;
  }

  list(): readonly PublicationInfo[] {
    return [...this.#publishers.values()].map((publisher) => publisher.info());
  }

  of(view: string): PublicationInfo | undefined {
    return [...this.#publishers.values()].find(({ publication }) => publication.view === view)?.info();
  }

  /** Ends those that are not defined any more, are defined otherwise, or had stopped. */
  async retire(published: readonly Publication[]): Promise<void> {
    const wanted = new Map(published.map((publication) => [publication.topic, publication]));
    for (const [topic, publisher] of this.#publishers) {
      const now = wanted.get(topic);
      if (now && isAlike(now, publisher.publication) && !hasEnded(publisher)) continue;
      this.#publishers.delete(topic);
      await publisher.close();
    }
  }

  /** As `retire`, and starts what is new. What a publisher meets is in its state: throws nothing. */
  async apply(published: readonly Publication[]): Promise<void> {
    await this.retire(published);
    for (const publication of published) {
      if (this.#publishers.has(publication.topic)) continue;
      const publisher = new Publisher(publication, { ...this.#options, comparisons: this.#comparisons });
      this.#publishers.set(publication.topic, publisher);
      publisher.start();
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#publishers.values()].map((publisher) => publisher.close()));
    this.#publishers.clear();
  }
}

function hasEnded(publisher: Publisher): boolean {
  const { kind } = publisher.info().state;
  return kind === "stopped" || kind === "waiting";
}

function isAlike(one: Publication, other: Publication): boolean {
  return (
    one.view === other.view &&
    one.group === other.group &&
    JSON.stringify(one.settings) === JSON.stringify(other.settings)
  );
}
