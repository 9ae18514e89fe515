/**
 * What a request to alter SCRAM credentials comes to (KIP-554): per user a change or an error. A user that is named twice
 * is not changed at all.
 */
import type { CredentialChange } from "../../access/scram-credentials.ts";
import { credentialOf, type ScramMechanism, scramIterationsMax, scramIterationsMin } from "../../access/scram-keys.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import type { ItemError } from "./item-error.ts";

export interface ScramDeletion {
  readonly name: string;
  readonly mechanism: number;
}

export interface ScramUpsertion extends ScramDeletion {
  readonly iterations: number;
  readonly salt: Buffer;
  readonly saltedPassword: Buffer;
}

export type UserPlan = { readonly change: CredentialChange } | { readonly error: ItemError };

/** By Kafka's number for it; 0 is unknown. */
export const mechanismCodes: Readonly<Record<ScramMechanism, number>> = { "SCRAM-SHA-256": 1, "SCRAM-SHA-512": 2 };

const saltBytesMax = 1024;

export function planScramChanges(
  deletions: readonly ScramDeletion[],
  upsertions: readonly ScramUpsertion[],
  isThere: (user: string, mechanism: ScramMechanism) => boolean,
): Map<string, UserPlan> {
  const plans = new Map<string, UserPlan>();
  const plan = (user: string, planOne: () => UserPlan) => {
    plans.set(user, plans.has(user) ? twice : planOne());
  };
  for (const deletion of deletions) plan(deletion.name, () => planDeletion(deletion, isThere));
  for (const upsertion of upsertions) plan(upsertion.name, () => planUpsertion(upsertion));
  return plans;
}

function planDeletion(
  { name: user, mechanism: code }: ScramDeletion,
  isThere: (user: string, mechanism: ScramMechanism) => boolean,
): UserPlan {
  const mechanism = mechanismOf(code);
  if (user === "") return unacceptable("Username must not be empty");
  if (!mechanism) return unknownMechanism;
  if (isThere(user, mechanism)) return { change: { user, mechanism, credential: null } };
  return refusal(kafkaErrors.RESOURCE_NOT_FOUND, "Attempt to delete a user credential that does not exist");
}

function planUpsertion({ name: user, mechanism: code, iterations, salt, saltedPassword }: ScramUpsertion): UserPlan {
  const mechanism = mechanismOf(code);
  if (user === "") return unacceptable("Username must not be empty");
  if (!mechanism) return unknownMechanism;
  if (iterations < scramIterationsMin) return unacceptable("Too few iterations");
  if (iterations > scramIterationsMax) return unacceptable("Too many iterations");
  if (salt.length === 0 || salt.length > saltBytesMax) return unacceptable("The salt has no usable length");
  if (saltedPassword.length === 0 || saltedPassword.length > saltBytesMax) {
    return unacceptable("The salted password has no usable length");
  }
  // The request's bytes are views of a frame that does not stay.
  const credential = credentialOf(mechanism, saltedPassword, Buffer.from(salt), iterations);
  return { change: { user, mechanism, credential } };
}

function mechanismOf(code: number): ScramMechanism | undefined {
  if (code === mechanismCodes["SCRAM-SHA-256"]) return "SCRAM-SHA-256";
  return code === mechanismCodes["SCRAM-SHA-512"] ? "SCRAM-SHA-512" : undefined;
}

function refusal(errorCode: number, errorMessage: string): UserPlan {
  return { error: { errorCode, errorMessage } };
}

function unacceptable(message: string): UserPlan {
  return refusal(kafkaErrors.UNACCEPTABLE_CREDENTIAL, message);
}

const twice = refusal(kafkaErrors.DUPLICATE_RESOURCE, "A user credential cannot be altered twice in the same request");
const unknownMechanism = refusal(kafkaErrors.UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism");
