/** FindCoordinator: this broker, for every group and transactional id. */
import { findCoordinator } from "../../kafka/apis/find-coordinator.ts";
import type { ResponseInput } from "../../kafka/fields.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { nodeId } from "../broker-node.ts";
import { type Answer, answers, type RequestContext } from "../handler.ts";
import type { GroupDoor } from "./group-door.ts";

const keyTypes = { group: 0, transaction: 1 } as const;

/** As Kafka names no node. */
const nowhere = { nodeId: -1, host: "", port: -1 };

export function coordinatorAnswers(door: GroupDoor): Answer[] {
  return [
    answers(findCoordinator, (request, context): ResponseInput<typeof findCoordinator> => {
      const place = { nodeId, ...door.node.endpoint(context) };
      if (context.apiVersion < 4) {
        const [errorCode, message] = errorOf(request.keyType, request.key, context);
        // Kafka has a text for success, too.
        return { errorCode, errorMessage: message ?? "NONE", ...(errorCode === 0 ? place : nowhere), coordinators: [] };
      }
      return {
        ...nowhere,
        errorCode: 0,
        coordinators: request.coordinatorKeys.map((key) => {
          const [errorCode, message] = errorOf(request.keyType, key, context);
          return { key, errorCode, errorMessage: message ?? "", ...(errorCode === 0 ? place : nowhere) };
        }),
      };
    }),
  ];
}

function errorOf(keyType: number, key: string, context: RequestContext): readonly [number, string | null] {
  if (keyType === keyTypes.group) {
    if (context.allows("describe", "group", key)) return [kafkaErrors.NONE, null];
    return [kafkaErrors.GROUP_AUTHORIZATION_FAILED, "Group authorization failed."];
  }
  if (keyType === keyTypes.transaction) {
    if (context.allows("describe", "transactional-id", key)) return [kafkaErrors.NONE, null];
    return [kafkaErrors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "Transactional Id authorization failed."];
  }
  return [kafkaErrors.INVALID_REQUEST, `nothing is coordinated under the key type ${keyType}`];
}
