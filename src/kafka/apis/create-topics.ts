/** Creates topics. A partition count or replication factor of -1 is the broker's default. */
import { api, array, bool, int8, int16, int32, string, struct, uuid } from "../fields.ts";

export const createTopics = api({
  key: 19,
  name: "CreateTopics",
  versions: [2, 7],
  flexibleFrom: 5,
  request: struct({
    topics: array(
      struct({
        name: string(),
        numPartitions: int32(),
        replicationFactor: int16(),
        assignments: array(
          struct({
            partitionIndex: int32(),
            brokerIds: array(int32()),
          }),
        ),
        configs: array(
          struct({
            name: string(),
            value: string({ nullable: 0 }),
          }),
        ),
      }),
    ),
    timeoutMs: int32({ default: 60000 }),
    validateOnly: bool({ default: false }),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    topics: array(
      struct({
        name: string(),
        topicId: uuid({ from: 7 }),
        errorCode: int16(),
        errorMessage: string({ nullable: 0 }),
        topicConfigErrorCode: int16({ from: 5, tag: 0 }),
        numPartitions: int32({ from: 5, default: -1 }),
        replicationFactor: int16({ from: 5, default: -1 }),
        configs: array(
          struct({
            name: string(),
            value: string({ nullable: 0 }),
            readOnly: bool(),
            configSource: int8({ default: -1 }),
            isSensitive: bool(),
          }),
          { from: 5, nullable: 0 },
        ),
      }),
    ),
  }),
});
