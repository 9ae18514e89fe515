/** Deletes topics, by name, or from version 6 on by name or id. */
import { api, array, int16, int32, string, struct, uuid } from "../fields.ts";

export const deleteTopics = api({
  key: 20,
  name: "DeleteTopics",
  versions: [1, 6],
  flexibleFrom: 4,
  request: struct({
    topics: array(
      struct({
        name: string({ nullable: 0 }),
        topicId: uuid(),
      }),
      { from: 6 },
    ),
    topicNames: array(string(), { to: 5 }),
    timeoutMs: int32(),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    responses: array(
      struct({
        name: string({ nullable: 6 }),
        topicId: uuid({ from: 6 }),
        errorCode: int16(),
        errorMessage: string({ from: 5, nullable: 0 }),
      }),
    ),
  }),
});
