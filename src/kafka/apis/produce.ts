/** Appends record batches to partitions. A request with `acks` 0 gets no response at all. */
import { api, array, int16, int32, int64, records, string, struct, uuid } from "../fields.ts";

export const produce = api({
  key: 0,
  name: "Produce",
  versions: [3, 13],
  // librdkafka before 2.11.1 stops compressing when it is told of no version 0 (KAFKA-18659).
  advertisedFrom: 0,
  flexibleFrom: 9,
  request: struct({
    transactionalId: string({ nullable: 0 }),
    acks: int16(),
    timeoutMs: int32(),
    topicData: array(
      struct({
        name: string({ to: 12 }),
        /** Version 13 names topics by id (KIP-516). */
        topicId: uuid({ from: 13 }),
        partitionData: array(
          struct({
            index: int32(),
            records: records({ nullable: 0 }),
          }),
        ),
      }),
    ),
  }),
  response: struct({
    responses: array(
      struct({
        name: string({ to: 12 }),
        topicId: uuid({ from: 13 }),
        partitionResponses: array(
          struct({
            index: int32(),
            errorCode: int16(),
            baseOffset: int64(),
            logAppendTimeMs: int64({ default: -1 }),
            logStartOffset: int64({ from: 5, default: -1 }),
            /** Which records made the broker refuse the batch (KIP-467). */
            recordErrors: array(
              struct({
                batchIndex: int32(),
                batchIndexErrorMessage: string({ nullable: 0 }),
              }),
              { from: 8 },
            ),
            errorMessage: string({ from: 8, nullable: 0 }),
            /** With NOT_LEADER_OR_FOLLOWER (KIP-951). */
            currentLeader: struct(
              {
                leaderId: int32({ default: -1 }),
                leaderEpoch: int32({ default: -1 }),
              },
              { from: 10, tag: 0 },
            ),
          }),
        ),
      }),
    ),
    throttleTimeMs: int32({ default: 0 }),
    nodeEndpoints: array(
      struct({
        nodeId: int32(),
        host: string(),
        port: int32(),
        rack: string({ nullable: 0 }),
      }),
      { from: 10, tag: 0 },
    ),
  }),
});
