/** Which of the protocols that a group's members offer is the one that they use (KIP-62: by vote). */
import type { KeptMember, MemberProtocol } from "./classic-state.ts";

type Offers = readonly Pick<KeptMember, "protocols">[];

/** Is one of these offered by all members? */
export function isSupported(protocols: readonly MemberProtocol[], members: Offers): boolean {
  const common = commonProtocols(members);
  return protocols.some(({ name }) => !common || common.has(name));
}

/** Of those that all offer the one that most prefer; of equals the one that was named first. Null when there is none. */
export function selectProtocol(members: Offers): string | null {
  const common = commonProtocols(members);
  const votes = new Map<string, number>();
  for (const { protocols } of members) {
    const preferred = protocols.find(({ name }) => common?.has(name));
    if (preferred) votes.set(preferred.name, (votes.get(preferred.name) ?? 0) + 1);
  }
  let chosen: string | null = null;
  for (const [name, count] of votes) if (count > (chosen === null ? 0 : (votes.get(chosen) ?? 0))) chosen = name;
  return chosen;
}

/** The same names with the same metadata in the same order. */
export function areSameProtocols(a: readonly MemberProtocol[], b: readonly MemberProtocol[]): boolean {
  if (a.length !== b.length) return false;
  return a.every(({ name, metadata }, i) => name === b[i]?.name && metadata.equals(b[i].metadata));
}

/** Undefined when there are no members: anything goes. */
function commonProtocols(members: Offers): ReadonlySet<string> | undefined {
  const [first, ...others] = members;
  if (!first) return undefined;
  const common = new Set(first.protocols.map(({ name }) => name));
  for (const { protocols } of others) {
    if (common.size === 0) break;
    const offered = new Set(protocols.map(({ name }) => name));
    for (const name of common) if (!offered.has(name)) common.delete(name);
  }
  return common;
}
