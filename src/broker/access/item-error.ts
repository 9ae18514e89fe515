/** The error of one item in an answer. */
import { MillraceError } from "../../base/errors.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";

export interface ItemError {
  readonly errorCode: number;
  readonly errorMessage: string | null;
}

export const noError: ItemError = { errorCode: kafkaErrors.NONE, errorMessage: null };

export const notAuthorized: ItemError = {
  errorCode: kafkaErrors.CLUSTER_AUTHORIZATION_FAILED,
  errorMessage: "Cluster authorization failed.",
};

/** What failed, with its words where they are meant for a client. */
export function itemErrorOf(error: unknown, errorCode: number): ItemError {
  return { errorCode, errorMessage: MillraceError.is(error) ? error.message : null };
}

export function invalidRequest(errorMessage: string): ItemError {
  return { errorCode: kafkaErrors.INVALID_REQUEST, errorMessage };
}
