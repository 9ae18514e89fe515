import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { seededRandom } from "../base/random.ts";
import { apiVersions } from "../kafka/apis/api-versions.ts";
import { fetch } from "../kafka/apis/fetch.ts";
import { metadata } from "../kafka/apis/metadata.ts";
import { produce } from "../kafka/apis/produce.ts";
import { zeroUuid } from "../kafka/fields.ts";
import { encodeRequestFrame } from "../kafka/frames.ts";
import { kafkaErrors } from "../kafka/kafka-errors.ts";
import { batchOf, type DoorClient, type OpenDoor, openDoor } from "./door.fixture.ts";

const named = { clientSoftwareName: "test", clientSoftwareVersion: "1" };

/** Another client is served as if nothing had happened. */
async function assertServes(open: OpenDoor): Promise<void> {
  const client = await open.client();
  const { errorCode } = await client.ask(apiVersions, 3, named);
  assert.equal(errorCode, 0);
  client.close();
}

function frameOf(api: typeof metadata | typeof apiVersions | typeof produce, version: number, request: never): Buffer {
  return Buffer.concat(encodeRequestFrame(api, version, 1, "test", request));
}

describe("a peer that does not keep to the protocol", () => {
  const lengthOf = (value: number, rest = 0): Buffer => {
    const bytes = Buffer.alloc(4 + rest);
    bytes.writeInt32BE(value, 0);
    return bytes;
  };
  const header = (apiKey: number, version: number): Buffer => {
    const bytes = Buffer.alloc(15);
    bytes.writeInt32BE(11, 0);
    bytes.writeInt16BE(apiKey, 4);
    bytes.writeInt16BE(version, 6);
    bytes.writeInt16BE(-1, 12);
    return bytes;
  };
  const bad: readonly (readonly [what: string, bytes: Buffer, reason: RegExp])[] = [
    ["a frame larger than is taken", lengthOf(101 * 1024 * 1024), /was announced/],
    ["a negative length", lengthOf(-1), /was announced/],
    ["a TLS hello", Buffer.from("1603010200010001fc0303", "hex"), /speaks TLS/],
    ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), /speaks HTTP/],
    ["an empty frame", lengthOf(0), /cannot be read/],
    ["an API that there is not", header(999, 0), /version 0 of API 999/],
    ["a version that there is not", header(3, 99), /version 99 of API 3/],
    ["Produce of message format 1", header(0, 2), /version 2 of API 0/],
    ["a negative version", header(3, -1), /version -1 of API 3/],
    ["a request that is cut", header(3, 9), /cannot be read/],
    ["a list that claims two thousand million topics", claimedTopics(), /cannot be read/],
  ];
  for (const [what, bytes, reason] of bad) {
    test(`is closed for ${what}, with the reason in the diagnostics, and others are served on`, async () => {
      await using open = await openDoor();
      const client = await open.client();
      client.sendBytes(bytes);
      await client.closed;
      assert.equal(open.said.length, 1);
      assert.match(open.said[0] ?? "", reason);
      await assertServes(open);
    });
  }

  test("harms nobody with random bytes", async () => {
    await using open = await openDoor();
    const random = seededRandom(7);
    for (let i = 0; i < 60; i++) {
      const client = await open.client();
      const body = random.bytes(1 + random.below(400));
      // Half of them with a length that is right and a key that is known.
      if (i % 2 === 0) {
        body.writeInt16BE([0, 1, 2, 3, 18, 19, 20, 37][i % 8] ?? 0, 0);
        client.sendBytes(Buffer.concat([lengthOf(body.length), body]));
      } else client.sendBytes(body);
      client.socket.end();
      await client.closed;
    }
    await assertServes(open);
  });

  test("harms nobody with a request that is damaged in any one byte", async () => {
    await using open = await openDoor();
    const writer = await open.client();
    await writer.ask(metadata, 9, { topics: [{ name: "orders" }] });
    const request = {
      acks: -1,
      timeoutMs: 1,
      topicData: [{ name: "orders", partitionData: [{ index: 0, records: batchOf("x") }] }],
    };
    const good = frameOf(produce, 9, request as never);
    for (let at = 4; at < good.length; at++) {
      const client = await open.client();
      const bytes = Buffer.from(good);
      bytes.writeUInt8((bytes[at] ?? 0) ^ 0xff, at);
      client.sendBytes(bytes);
      client.socket.end();
      await client.closed;
    }
    await assertServes(open);
  });

  test("a TLS client on a plain listener is sent away", async () => {
    await using open = await openDoor();
    const socket = connectTls({ port: open.port, host: "127.0.0.1", rejectUnauthorized: false });
    await new Promise((resolve) => socket.once("error", resolve));
    assert.match(open.said.join(), /speaks TLS/);
  });
});

describe("bad batches", () => {
  const refusals: readonly (readonly [what: string, damage: (batch: Buffer) => Buffer | null, code: number])[] = [
    ["none", () => null, kafkaErrors.INVALID_RECORD],
    ["an empty one", () => Buffer.alloc(0), kafkaErrors.INVALID_RECORD],
    ["message format 1", (batch) => withByte(batch, 16, 1), kafkaErrors.INVALID_RECORD],
    ["a wrong checksum", (batch) => withByte(batch, 17, 0xab), kafkaErrors.CORRUPT_MESSAGE],
    ["a length that is too long", (batch) => withByte(batch, 9, 9), kafkaErrors.INVALID_RECORD],
    ["two of them", (batch) => Buffer.concat([batch, batch]), kafkaErrors.INVALID_RECORD],
    ["one that is cut", (batch) => batch.subarray(0, batch.length - 1), kafkaErrors.INVALID_RECORD],
  ];
  for (const [what, damage, code] of refusals) {
    test(`${what} is refused as Kafka does, and the connection goes on`, async () => {
      await using open = await openDoor();
      const client = await open.client();
      await client.ask(metadata, 9, { topics: [{ name: "orders" }] });
      const answer = await produceBatch(client, damage(batchOf("x")));
      assert.equal(answer?.errorCode, code);
      assert.equal((await produceBatch(client, batchOf("y")))?.baseOffset, 0, "nothing of it is there");
    });
  }

  test("acks that there are not are refused", async () => {
    await using open = await openDoor();
    const client = await open.client();
    await client.ask(metadata, 9, { topics: [{ name: "orders" }] });
    assert.equal((await produceBatch(client, batchOf("x"), 2))?.errorCode, kafkaErrors.INVALID_REQUIRED_ACKS);
  });
});

describe("a slow or absent peer", () => {
  test("that stops in the middle of a request is closed", async () => {
    await using open = await openDoor({ stallMs: 50 });
    const client = await open.client();
    const bytes = Buffer.alloc(20);
    bytes.writeInt32BE(1000, 0);
    client.sendBytes(bytes);
    await client.closed;
    assert.match(open.said.join(), /a request has not come on/);
  });

  test("that asks for nothing is closed after the idle time", async () => {
    await using open = await openDoor({ stallMs: 50, idleMs: 50 });
    const client = await open.client();
    await client.closed;
    assert.match(open.said.join(), /idle/);
  });

  test("that asks for nothing is closed after the idle time also where that is longer than any stall", async () => {
    await using open = await openDoor({ stallMs: 10, idleMs: 100 });
    const client = await open.client();
    await client.closed;
    assert.match(open.said.join(), /idle/);
  });

  test("that waits for a fetch is not idle", async () => {
    // Long enough for a machine that is busy between two requests.
    await using open = await openDoor({ stallMs: 20, idleMs: 500 });
    const client = await open.client();
    await client.ask(metadata, 9, { topics: [{ name: "orders" }] });
    const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1000 }];
    const answer = await client.ask(fetch, 12, {
      maxWaitMs: 1_000,
      minBytes: 1,
      maxBytes: 1000,
      topics: [{ topic: "orders", topicId: zeroUuid, partitions }],
    });
    assert.equal(answer.errorCode, 0);
  });

  test("that takes nothing of its answers holds a bounded part of them, and is closed", async () => {
    await using open = await openDoor({ stallMs: 300 });
    const client = await open.client();
    await client.ask(metadata, 9, { topics: [{ name: "orders" }] });
    for (let i = 0; i < 4; i++) await produceBatch(client, batchOf("x".repeat(900_000)));
    client.socket.pause();
    const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 10_000_000 }];
    for (let i = 0; i < 40; i++) {
      client.send(fetch, 12, {
        maxWaitMs: 0,
        minBytes: 1,
        maxBytes: 10_000_000,
        topics: [{ topic: "orders", topicId: zeroUuid, partitions }],
      });
    }
    await new Promise<void>((resolve) => {
      const look = () => (open.door.connectionCount === 0 ? resolve() : setImmediate(look));
      look();
    });
    assert.match(open.said.join(), /took nothing of an answer/);
    client.close();
  });

  test("connections of one address have a bound", async () => {
    await using open = await openDoor({ connectionsPerAddressMax: 2 });
    const first = await open.client();
    const second = await open.client();
    await first.ask(apiVersions, 3, named);
    await second.ask(apiVersions, 3, named);
    const third = await open.client();
    await third.closed;
    first.close();
    await new Promise<void>((resolve) => {
      const look = () => (open.door.connectionCount === 1 ? resolve() : setImmediate(look));
      look();
    });
    await assertServes(open);
  });

  test("requests of all connections together have a bound, and wait for their turn beyond it", async () => {
    await using open = await openDoor({ requestMemoryBytes: 1_000 });
    const clients = await Promise.all(Array.from({ length: 8 }, () => open.client()));
    await clients[0]?.ask(metadata, 9, { topics: [{ name: "orders" }] });
    const answers = await Promise.all(clients.map((client) => produceBatch(client, batchOf("x".repeat(5_000)))));
    assert.deepEqual(answers.map((answer) => answer?.baseOffset).sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
  });
});

describe("closing the door", () => {
  test("answers what was begun, ends waits, and closes every connection", async () => {
    const open = await openDoor();
    const client = await open.client();
    await client.ask(metadata, 9, { topics: [{ name: "orders" }] });
    const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1000 }];
    const waiting = client.ask(fetch, 12, {
      maxWaitMs: 60_000,
      minBytes: 1,
      maxBytes: 1000,
      topics: [{ topic: "orders", topicId: zeroUuid, partitions }],
    });
    await (await open.client()).ask(apiVersions, 3, named);
    await open.door.close();
    assert.equal((await waiting).errorCode, 0);
    await client.closed;
    await open[Symbol.asyncDispose]();
  });
});

async function produceBatch(client: DoorClient, records: Buffer | null, acks = -1) {
  const topicData = [{ name: "orders", partitionData: [{ index: 0, records }] }];
  const { responses } = await client.ask(produce, 9, { acks, timeoutMs: 1000, topicData });
  return responses[0]?.partitionResponses[0];
}

function withByte(batch: Buffer, at: number, value: number): Buffer {
  batch.writeUInt8(value, at);
  return batch;
}

/** Metadata 0 with a count of topics that no frame has room for. */
function claimedTopics(): Buffer {
  const bytes = Buffer.alloc(18);
  bytes.writeInt32BE(14, 0);
  bytes.writeInt16BE(3, 4);
  bytes.writeInt16BE(-1, 12);
  bytes.writeInt32BE(2_000_000_000, 14);
  return bytes;
}
