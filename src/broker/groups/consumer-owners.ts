/**
 * Which partitions are somebody's in a consumer group of KIP-848: what members have, and what they are to let go of.
 *
 * Always true: of no partition there are two owners.
 */
import { invariant } from "../../base/errors.ts";
import type { ConsumerMember } from "./consumer-member.ts";

export class PartitionOwners {
  /** Member ids by topic id and partition. */
  readonly #owners = new Map<string, Map<number, string>>();

  has(topicId: string, partition: number): boolean {
    return this.#owners.get(topicId)?.has(partition) ?? false;
  }

  add({ memberId, assigned, revoking }: ConsumerMember): void {
    for (const places of [assigned, revoking]) {
      for (const [topicId, partitions] of places) {
        const owners = this.#owners.get(topicId) ?? new Map<number, string>();
        for (const partition of partitions.keys()) {
          invariant(!owners.has(partition), `partition ${partition} of topic ${topicId} has an owner`);
          owners.set(partition, memberId);
        }
        this.#owners.set(topicId, owners);
      }
    }
  }

  release({ assigned, revoking }: ConsumerMember): void {
    for (const places of [assigned, revoking]) {
      for (const [topicId, partitions] of places) {
        const owners = this.#owners.get(topicId);
        for (const partition of partitions.keys()) owners?.delete(partition);
        if (owners?.size === 0) this.#owners.delete(topicId);
      }
    }
  }
}
