/** ApiVersions: what the door answers in which versions, and the features of the cluster (KIP-35, KIP-511, KIP-584). */
import { apiVersions } from "../kafka/apis/api-versions.ts";
import { kafkaErrors } from "../kafka/kafka-errors.ts";
import type { Dispatch } from "./dispatch.ts";
import { type Answer, answers } from "./handler.ts";

/** KIP-511: anything else is no name or version of a client. */
const softwareForm = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/;

export interface Feature {
  readonly name: string;
  readonly minVersion: number;
  readonly maxVersion: number;
  /** The finalized level. */
  readonly level: number;
}

/** `metadata.version` 30 is Kafka 4.3's; the door behaves as a cluster at these levels. */
export const brokerFeatures: readonly Feature[] = [
  { name: "group.version", minVersion: 0, maxVersion: 1, level: 1 },
  { name: "transaction.version", minVersion: 0, maxVersion: 2, level: 2 },
];

export function apiVersionsAnswer(dispatch: () => Dispatch): Answer {
  return answers(apiVersions, (request, { apiVersion }) => {
    const isNamed = softwareForm.test(request.clientSoftwareName) && softwareForm.test(request.clientSoftwareVersion);
    if (apiVersion >= 3 && !isNamed) return { errorCode: kafkaErrors.INVALID_REQUEST, apiKeys: [] };
    // Clients below version 4 cannot read a feature that begins at 0 (KAFKA-17011).
    const features = brokerFeatures.filter(({ minVersion }) => minVersion > 0 || apiVersion >= 4);
    return {
      errorCode: kafkaErrors.NONE,
      apiKeys: dispatch().ranges(),
      supportedFeatures: features.map(({ name, minVersion, maxVersion }) => ({ name, minVersion, maxVersion })),
      finalizedFeaturesEpoch: 1,
      finalizedFeatures: brokerFeatures.map(({ name, level }) => ({
        name,
        maxVersionLevel: level,
        minVersionLevel: level,
      })),
    };
  });
}
