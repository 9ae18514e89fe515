import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { apiVersions } from "../kafka/apis/api-versions.ts";
import { fetch } from "../kafka/apis/fetch.ts";
import { metadata } from "../kafka/apis/metadata.ts";
import { produce } from "../kafka/apis/produce.ts";
import { zeroUuid } from "../kafka/fields.ts";
import { decodeResponseFrame, encodeRequestFrame } from "../kafka/frames.ts";
import { kafkaErrors } from "../kafka/kafka-errors.ts";
import { batchOf, type DoorClient, openDoor } from "./door.fixture.ts";

function produceRequest(topic: string, records: Buffer | null, acks = -1) {
  return { acks, timeoutMs: 1000, topicData: [{ name: topic, partitionData: [{ index: 0, records }] }] };
}

function fetchRequest(topic: string, topicId: string, fetchOffset: number, maxWaitMs = 0, minBytes = 1) {
  const partitions = [{ partition: 0, fetchOffset, partitionMaxBytes: 1_000_000 }];
  return { maxWaitMs, minBytes, maxBytes: 10_000_000, topics: [{ topic, topicId, partitions }] };
}

async function produceTo(client: DoorClient, topic: string, ...values: string[]): Promise<number> {
  const { responses } = await client.ask(produce, 9, produceRequest(topic, batchOf(...values)));
  assert.equal(responses[0]?.partitionResponses[0]?.errorCode, 0);
  return responses[0]?.partitionResponses[0]?.baseOffset ?? -1;
}

async function madeTopic(client: DoorClient, name: string): Promise<string> {
  const { topics } = await client.ask(metadata, 12, { topics: [{ name }] });
  assert.equal(topics[0]?.errorCode, 0);
  return topics[0]?.topicId ?? "";
}

describe("the Kafka door", () => {
  test("answers ApiVersions in a version that it does not know as version 0, with what it knows (KIP-511)", async () => {
    await using open = await openDoor();
    const client = await open.client();
    const [frame = Buffer.alloc(0)] = encodeRequestFrame(apiVersions, 4, 7, "test", {
      clientSoftwareName: "x",
      clientSoftwareVersion: "1",
    });
    frame.writeInt16BE(99, 6);
    client.sendBytes(frame);
    const { correlationId, response } = decodeResponseFrame(apiVersions, 0, await client.frame());
    assert.equal(correlationId, 7);
    assert.equal(response.errorCode, kafkaErrors.UNSUPPORTED_VERSION);
    assert.deepEqual(response.apiKeys, [{ apiKey: 18, minVersion: 0, maxVersion: 4 }]);
    const again = await client.ask(apiVersions, 3, { clientSoftwareName: "a", clientSoftwareVersion: "1.0" });
    assert.equal(again.errorCode, 0);
    assert.deepEqual(
      again.apiKeys.find(({ apiKey }) => apiKey === 0),
      { apiKey: 0, minVersion: 0, maxVersion: 13 },
      "Produce is told from version 0",
    );
  });

  test("a client that names itself with what is no name is refused (KIP-511)", async () => {
    await using open = await openDoor();
    const client = await open.client();
    const refused = await client.ask(apiVersions, 3, { clientSoftwareName: "a b", clientSoftwareVersion: "1" });
    assert.equal(refused.errorCode, kafkaErrors.INVALID_REQUEST);
  });

  for (let version = produce.versions[0]; version <= produce.versions[1]; version++) {
    test(`takes Produce ${version}, and gives it back to Fetch`, async () => {
      await using open = await openDoor();
      const client = await open.client();
      const topicId = await madeTopic(client, "orders");
      const request = produceRequest("orders", batchOf("one", "two"));
      const [topicData] = request.topicData;
      assert.ok(topicData);
      const { responses } = await client.ask(produce, version, { ...request, topicData: [{ ...topicData, topicId }] });
      assert.deepEqual(responses[0]?.partitionResponses[0]?.errorCode, 0);
      for (let fetched = fetch.versions[0]; fetched <= fetch.versions[1]; fetched++) {
        const answer = await client.ask(fetch, fetched, fetchRequest("orders", topicId, 0));
        const partition = answer.responses[0]?.partitions[0];
        assert.equal(partition?.errorCode, 0, `Fetch ${fetched}`);
        assert.equal(partition?.highWatermark, 2);
        assert.ok((partition?.records?.length ?? 0) > 61);
      }
    });
  }

  test("answers the requests of a connection in their order, appends that wait for the disk among them", async () => {
    await using open = await openDoor();
    const client = await open.client();
    await madeTopic(client, "orders");
    const sent: number[] = [];
    for (let i = 0; i < 20; i++) {
      sent.push(client.send(produce, 9, produceRequest("orders", batchOf(`${i}`))));
      if (i % 5 === 0) sent.push(client.send(metadata, 9, { topics: [{ name: "orders" }] }));
    }
    const answered: number[] = [];
    for (const _ of sent) answered.push((await client.frame()).readInt32BE(0));
    assert.deepEqual(answered, sent);
    const { responses } = await client.ask(produce, 9, produceRequest("orders", batchOf("last")));
    assert.equal(
      responses[0]?.partitionResponses[0]?.baseOffset,
      20,
      "each has its place in the order of the requests",
    );
  });

  test("does not answer a Produce with acks=0, and closes the connection when it is refused", async () => {
    await using open = await openDoor();
    const client = await open.client();
    await madeTopic(client, "orders");
    client.send(produce, 9, produceRequest("orders", batchOf("quiet"), 0));
    assert.equal(await produceTo(client, "orders", "loud"), 1, "the next answer is that of the next request");
    client.send(produce, 9, produceRequest("nowhere", batchOf("lost"), 0));
    await client.closed;
  });

  test("a fetch that finds nothing waits until something comes", async () => {
    await using open = await openDoor();
    const [reader, writer] = [await open.client(), await open.client()];
    await madeTopic(reader, "orders");
    const waiting = reader.ask(fetch, 12, fetchRequest("orders", zeroUuid, 0, 60_000));
    await produceTo(writer, "orders", "now");
    const { responses } = await waiting;
    assert.ok((responses[0]?.partitions[0]?.records?.length ?? 0) > 0);
  });

  test("a fetch waits for as many bytes as it asks for", async () => {
    await using open = await openDoor();
    const [reader, writer] = [await open.client(), await open.client()];
    await madeTopic(reader, "orders");
    const waiting = reader.ask(fetch, 12, fetchRequest("orders", zeroUuid, 0, 60_000, 5_000));
    for (let i = 0; i < 6; i++) await produceTo(writer, "orders", "x".repeat(1_000));
    const { responses } = await waiting;
    assert.ok((responses[0]?.partitions[0]?.records?.length ?? 0) >= 5_000);
  });

  test("a fetch outside of the log, of another leader epoch, or of what is not there says so", async () => {
    await using open = await openDoor();
    const client = await open.client();
    await madeTopic(client, "orders");
    const errorOf = async (topic: string, over: object) => {
      const request = fetchRequest(topic, zeroUuid, 0, 60_000);
      const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1000, ...over }];
      const { responses } = await client.ask(fetch, 12, { ...request, topics: [{ topic, partitions }] });
      return responses[0]?.partitions[0]?.errorCode;
    };
    assert.equal(await errorOf("orders", { fetchOffset: 1 }), kafkaErrors.OFFSET_OUT_OF_RANGE);
    assert.equal(await errorOf("orders", { fetchOffset: -5 }), kafkaErrors.OFFSET_OUT_OF_RANGE);
    assert.equal(await errorOf("orders", { fetchOffset: 2 ** 62 }), kafkaErrors.OFFSET_OUT_OF_RANGE);
    assert.equal(await errorOf("orders", { currentLeaderEpoch: 99 }), kafkaErrors.UNKNOWN_LEADER_EPOCH);
    assert.equal(await errorOf("orders", { partition: 1 }), kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION);
    assert.equal(await errorOf("nowhere", {}), kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION);
  });

  test("a session is told only what is new", async () => {
    await using open = await openDoor();
    const client = await open.client();
    for (const name of ["a", "b"]) await madeTopic(client, name);
    const topics = ["a", "b"].map((topic) => ({
      topic,
      partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1_000_000 }],
    }));
    const base = { maxWaitMs: 0, minBytes: 1, maxBytes: 10_000_000 };
    const first = await client.ask(fetch, 12, { ...base, sessionId: 0, sessionEpoch: 0, topics });
    assert.ok(first.sessionId > 0);
    assert.equal(first.responses.length, 2);
    await produceTo(client, "b", "news");
    const second = await client.ask(fetch, 12, { ...base, sessionId: first.sessionId, sessionEpoch: 1, topics: [] });
    assert.deepEqual(
      second.responses.map(({ topic }) => topic),
      ["b"],
    );
    const stale = await client.ask(fetch, 12, { ...base, sessionId: first.sessionId, sessionEpoch: 1, topics: [] });
    assert.equal(stale.errorCode, kafkaErrors.INVALID_FETCH_SESSION_EPOCH);
  });

  test("what answers hold until they are sent has a bound, and a fetch is then answered with less", async () => {
    await using open = await openDoor({ fetchBytesMax: 200_000, fetchMemoryBytes: 1 });
    const client = await open.client();
    await madeTopic(client, "orders");
    for (let i = 0; i < 5; i++) await produceTo(client, "orders", "x".repeat(50_000));
    const { responses } = await client.ask(fetch, 12, fetchRequest("orders", zeroUuid, 0));
    const bytes = responses[0]?.partitions[0]?.records?.length ?? 0;
    assert.ok(bytes > 50_000 && bytes <= 64 * 1024, `${bytes} bytes`);
  });

  test("what is held of answers is given back when they are sent, when nothing was found, and when the peer is gone", async () => {
    await using open = await openDoor({ fetchMemoryBytes: 200_000 });
    const [client, leaver] = [await open.client(), await open.client()];
    await madeTopic(client, "orders");
    for (let i = 0; i < 3; i++) await produceTo(client, "orders", "x".repeat(50_000));
    leaver.send(fetch, 12, fetchRequest("orders", zeroUuid, 3, 60_000));
    leaver.close();
    await client.ask(fetch, 12, fetchRequest("orders", zeroUuid, 3, 1));
    for (let i = 0; i < 20; i++) {
      const { responses } = await client.ask(fetch, 12, fetchRequest("orders", zeroUuid, 0));
      const bytes = responses[0]?.partitions[0]?.records?.length ?? 0;
      assert.ok(bytes > 150_000, `${bytes} bytes in fetch ${i}`);
    }
  });

  test("a partition that has no room left in the answer says its ends, and is not waited for", async () => {
    await using open = await openDoor();
    const client = await open.client();
    for (const name of ["a", "b"]) {
      await madeTopic(client, name);
      await produceTo(client, name, "x".repeat(5_000));
    }
    const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1_000_000 }];
    const topics = ["a", "b"].map((topic) => ({ topic, partitions }));
    const { responses } = await client.ask(fetch, 12, { maxWaitMs: 60_000, minBytes: 1, maxBytes: 5_000, topics });
    const [a, b] = responses.map((topic) => topic.partitions[0]);
    assert.ok((a?.records?.length ?? 0) > 5_000);
    assert.deepEqual([b?.records?.length, b?.highWatermark, b?.errorCode], [0, 1, 0]);
  });
});
