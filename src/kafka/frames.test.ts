import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { apiVersions } from "./apis/api-versions.ts";
import { fetch } from "./apis/fetch.ts";
import { metadata } from "./apis/metadata.ts";
import { produce } from "./apis/produce.ts";
import { saslHandshake } from "./apis/sasl-handshake.ts";
import { apiByKey, apiByName, apis } from "./apis.ts";
import type { Api, RequestInput, ResponseInput } from "./fields.ts";
import {
  decodeRequest,
  decodeResponseFrame,
  encodeRequestFrame,
  encodeResponseFrame,
  frameLengthBytes,
  isServed,
  readRequestHeader,
} from "./frames.ts";
import { emptyMessage, encodeMessage, everyVersion } from "./message.fixture.ts";

/** Pieces of hexadecimal digits, in which spaces and `# comments` mean nothing. */
function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/#.*$/gm, "").replaceAll(/\s/g, ""), "hex");
}

const isMalformed = (error: unknown) => MillraceError.is(error, "REQUEST_MALFORMED");

/** With its length in front. */
function frameOf(text: string): Buffer {
  const body = hex(text);
  const frame = Buffer.alloc(4 + body.length);
  frame.writeInt32BE(body.length);
  body.copy(frame, 4);
  return frame;
}

/** Checks a request and a response against frames that were written out by hand. */
function frameTest<A extends Api>(
  api: A,
  version: number,
  asked: { readonly frame: string; readonly request: RequestInput<A> },
  answered: { readonly frame: string; readonly response: ResponseInput<A> },
): void {
  test(`${api.name} v${version} stands in bytes as Kafka writes it`, () => {
    const requestFrame = frameOf(asked.frame);
    assert.deepEqual(Buffer.concat(encodeRequestFrame(api, version, 7, "me", asked.request)), requestFrame);
    const frame = requestFrame.subarray(frameLengthBytes);
    const { bodyPosition, ...header } = readRequestHeader(frame);
    assert.deepEqual(header, { apiKey: api.key, apiVersion: version, correlationId: 7, clientId: "me" });
    const request = decodeRequest(api, version, frame, bodyPosition) as RequestInput<A>;
    assert.deepEqual(Buffer.concat(encodeRequestFrame(api, version, 7, "me", request)), requestFrame);

    const responseFrame = frameOf(answered.frame);
    assert.deepEqual(Buffer.concat(encodeResponseFrame(api, version, 7, answered.response)), responseFrame);
    const { correlationId, response } = decodeResponseFrame(api, version, responseFrame.subarray(frameLengthBytes));
    assert.equal(correlationId, 7);
    const again = encodeResponseFrame(api, version, correlationId, response as ResponseInput<A>);
    assert.deepEqual(Buffer.concat(again), responseFrame);
  });
}

const classicHeader = (key: string, version: string) => `${key} ${version} 00000007 0002 6d65`;
const flexibleHeader = (key: string, version: string) => `${classicHeader(key, version)} 00`;
const topicId = "00112233-4455-6677-8899-aabbccddeeff";
const topicIdBytes = topicId.replaceAll("-", "");

frameTest(
  apiVersions,
  0,
  {
    frame: `${classicHeader("0012", "0000")}`,
    request: { clientSoftwareName: "", clientSoftwareVersion: "" },
  },
  {
    frame: `
      00000007
      0000                                # no error
      00000002 0000 0000 000d             # Produce 0 to 13
               0012 0000 0004             # ApiVersions 0 to 4`,
    response: {
      errorCode: 0,
      apiKeys: [
        { apiKey: 0, minVersion: 0, maxVersion: 13 },
        { apiKey: 18, minVersion: 0, maxVersion: 4 },
      ],
    },
  },
);

for (const version of [3, 4]) {
  frameTest(
    apiVersions,
    version,
    {
      frame: `${flexibleHeader("0012", `000${version}`)} 04 6c6962 04 312e30 00`,
      request: { clientSoftwareName: "lib", clientSoftwareVersion: "1.0" },
    },
    {
      frame: `
        00000007                 # without tagged fields: always the classic header
        0000
        02 0012 0000 0004 00
        00000000                          # throttle time
        03                                # tagged fields
          00 0a                           #   0: supported features
             02 04 662e76 0000 0001 00    #     f.v 0 to 1
          01 08 0000000000000005          #   1: epoch
          02 0a                           #   2: finalized features
             02 04 662e76 0001 0001 00`,
      response: {
        errorCode: 0,
        apiKeys: [{ apiKey: 18, minVersion: 0, maxVersion: 4 }],
        supportedFeatures: [{ name: "f.v", minVersion: 0, maxVersion: 1 }],
        finalizedFeaturesEpoch: 5,
        finalizedFeatures: [{ name: "f.v", maxVersionLevel: 1, minVersionLevel: 1 }],
      },
    },
  );
}

frameTest(
  metadata,
  1,
  { frame: `${classicHeader("0003", "0001")} 00000001 0001 74`, request: { topics: [{ name: "t" }] } },
  {
    frame: `
      00000007
      00000001 00000001 0001 68 00002384 ffff       # broker 1 at h:9092, no rack
      00000001                                      # controller
      00000001 0000 0001 74 00                      # topic t, not internal
        00000001 0000 00000000 00000001             #   partition 0, led by 1
          00000001 00000001 00000001 00000001       #   replicas, in sync`,
    response: {
      brokers: [{ nodeId: 1, host: "h", port: 9092 }],
      controllerId: 1,
      topics: [
        {
          errorCode: 0,
          name: "t",
          partitions: [{ errorCode: 0, partitionIndex: 0, leaderId: 1, replicaNodes: [1], isrNodes: [1] }],
        },
      ],
    },
  },
);

frameTest(
  metadata,
  12,
  {
    frame: `${flexibleHeader("0003", "000c")} 02 ${topicIdBytes} 00 00 01 00 00`.replace("0000001f", "00000023"),
    request: { topics: [{ topicId }] },
  },
  {
    frame: `
      00000007 00
      00000000
      02 00000001 02 68 00002384 00 00              # broker 1
      02 63 00000001                                # cluster c, controller
      02 0000 02 74 ${topicIdBytes} 00              # topic t
        02 0000 00000000 00000001 00000003          #   partition 0, led by 1 in epoch 3
          02 00000001 02 00000001 01 00             #   replicas, in sync, none offline
        80000000 00                                 #   operations not asked for
      00`,
    response: {
      brokers: [{ nodeId: 1, host: "h", port: 9092 }],
      clusterId: "c",
      controllerId: 1,
      topics: [
        {
          errorCode: 0,
          name: "t",
          topicId,
          partitions: [
            {
              errorCode: 0,
              partitionIndex: 0,
              leaderId: 1,
              leaderEpoch: 3,
              replicaNodes: [1],
              isrNodes: [1],
              offlineReplicas: [],
            },
          ],
        },
      ],
    },
  },
);

const produced = { name: "t", partitionData: [{ index: 2, records: Buffer.from("abc") }] };

frameTest(
  produce,
  3,
  {
    frame: `
      ${classicHeader("0000", "0003")}
      ffff ffff 00007530                            # no transaction, all replicas, 30 s
      00000001 0001 74 00000001 00000002 00000003 616263`,
    request: { acks: -1, timeoutMs: 30_000, topicData: [produced] },
  },
  {
    frame: `
      00000007
      00000001 0001 74
        00000001 00000002 0000 0000000100000000 ffffffffffffffff
      00000000`,
    response: {
      responses: [{ name: "t", partitionResponses: [{ index: 2, errorCode: 0, baseOffset: 2 ** 32 }] }],
    },
  },
);

frameTest(
  produce,
  9,
  {
    frame: `
      ${flexibleHeader("0000", "0009")}
      00 ffff 00007530
      02 02 74 02 00000002 04 616263 00 00 00`,
    request: { acks: -1, timeoutMs: 30_000, topicData: [produced] },
  },
  {
    frame: `
      00000007 00
      02 02 74
        02 00000002 0057 ffffffffffffffff ffffffffffffffff 0000000000000000
          02 00000001 00 00                         # record 1 without a message
          04 626164 00
        00
      00000000 00`,
    response: {
      responses: [
        {
          name: "t",
          partitionResponses: [
            {
              index: 2,
              errorCode: 87,
              baseOffset: -1,
              logStartOffset: 0,
              recordErrors: [{ batchIndex: 1 }],
              errorMessage: "bad",
            },
          ],
        },
      ],
    },
  },
);

frameTest(
  fetch,
  4,
  {
    frame: `
      ${classicHeader("0001", "0004")}
      ffffffff 000001f4 00000001 00100000 01        # a consumer, 500 ms, 1 byte to 1 MiB, committed only
      00000001 0001 74 00000001 00000002 0000000000000005 00001000`,
    request: {
      maxWaitMs: 500,
      minBytes: 1,
      maxBytes: 0x100000,
      isolationLevel: 1,
      topics: [{ topic: "t", partitions: [{ partition: 2, fetchOffset: 5, partitionMaxBytes: 4096 }] }],
    },
  },
  {
    frame: `
      00000007
      00000000
      00000001 0001 74
        00000001 00000002 0000 0000000000000009 0000000000000008
          00000001 0000000000000003 0000000000000006 # transaction of producer 3 aborted
          00000003 616263`,
    response: {
      errorCode: 0,
      responses: [
        {
          topic: "t",
          partitions: [
            {
              partitionIndex: 2,
              errorCode: 0,
              highWatermark: 9,
              lastStableOffset: 8,
              abortedTransactions: [{ producerId: 3, firstOffset: 6 }],
              records: [Buffer.from("a"), Buffer.from("bc")],
            },
          ],
        },
      ],
    },
  },
);

frameTest(
  fetch,
  13,
  {
    frame: `
      ${flexibleHeader("0001", "000d")}
      ffffffff 000001f4 00000001 7fffffff 00
      00000000 ffffffff                             # no session
      02 ${topicIdBytes}
        02 00000002 ffffffff 0000000000000005 ffffffff ffffffffffffffff 00001000 00
        00
      01 01 00                                      # nothing forgotten, no rack`,
    request: {
      maxWaitMs: 500,
      minBytes: 1,
      topics: [{ topicId, partitions: [{ partition: 2, fetchOffset: 5, partitionMaxBytes: 4096 }] }],
    },
  },
  {
    frame: `
      00000007 00
      00000000 0000 00000000
      02 ${topicIdBytes}
        02 00000002 0006 ffffffffffffffff ffffffffffffffff ffffffffffffffff
          00 ffffffff 00                            # no aborted transactions, no other replica, no records
          01 01 09 00000004 00000007 00             # the leader is 4 in epoch 7
        00
      00`,
    response: {
      errorCode: 0,
      responses: [
        {
          topicId,
          partitions: [
            {
              partitionIndex: 2,
              errorCode: 6,
              highWatermark: -1,
              records: null,
              currentLeader: { leaderId: 4, leaderEpoch: 7 },
            },
          ],
        },
      ],
    },
  },
);

test("the header of a request is v1 in classic versions and v2 in flexible ones; the client id stays classic", () => {
  const classic = hex("0000 0008 00000007 0002 6d65");
  assert.equal(readRequestHeader(classic).bodyPosition, classic.length);
  const flexible = hex("0000 0009 00000007 0002 6d65 01 05 03 aabbcc");
  assert.deepEqual(readRequestHeader(flexible), {
    apiKey: 0,
    apiVersion: 9,
    correlationId: 7,
    clientId: "me",
    bodyPosition: flexible.length,
  });
});

test("SaslHandshake is never flexible", () => {
  const frame = Buffer.concat(encodeRequestFrame(saslHandshake, 1, 1, null, { mechanism: "PLAIN" }));
  assert.deepEqual(frame, frameOf("0011 0001 00000001 ffff 0005 504c41494e"));
});

test("a client id may be null, or empty", () => {
  assert.equal(readRequestHeader(hex("0003 0000 00000001 ffff")).clientId, null);
  assert.equal(readRequestHeader(hex("0003 0000 00000001 0000")).clientId, "");
});

test("of keys and versions that are not known the header says what can be said", () => {
  const unknownKey = { apiKey: 999, apiVersion: 3, correlationId: 7, clientId: "me", bodyPosition: 12 };
  assert.deepEqual(readRequestHeader(hex("03e7 0003 00000007 0002 6d65 00")), unknownKey);
  // Later versions are flexible too.
  const later = { apiKey: 18, apiVersion: 99, correlationId: 7, clientId: "me", bodyPosition: 13 };
  assert.deepEqual(readRequestHeader(hex("0012 0063 00000007 0002 6d65 00")), later);
  assert.equal(readRequestHeader(hex("0012 ffff 00000007 ffff")).apiVersion, -1);
});

test("a header that is cut short is malformed", () => {
  const whole = hex("0000 0009 00000007 0002 6d65 01 05 03 aabbcc");
  for (let length = 0; length < whole.length; length++)
    assert.throws(() => readRequestHeader(whole.subarray(0, length)), isMalformed);
});

test("bytes behind a request are ignored, as by Kafka", () => {
  const frame = hex("0003 0001 00000001 ffff ffffffff 0102");
  assert.equal(decodeRequest(metadata, 1, frame, 10).topics, null);
});

test("a request of a version that is told of, but not served, is malformed, and says so", () => {
  assert.equal(isServed(produce, 2), false);
  assert.equal(isServed(produce, 3), true);
  assert.equal(isServed(produce, 14), false);
  const refused = (error: unknown) => isMalformed(error) && /Produce has no version 2 here/.test(String(error));
  assert.throws(() => decodeRequest(produce, 2, Buffer.alloc(0), 0), refused);
});

test("a malformed request says what it is, and where", () => {
  const frame = hex("0003 0001 00000001 ffff 00000001 0005 74");
  const message = "a request Metadata v1 is malformed at byte 16: 5 bytes are wanted and 1 are left";
  assert.throws(() => decodeRequest(metadata, 1, frame, 10), { code: "REQUEST_MALFORMED", message });
});

test("the response to ApiVersions has the classic header, every other flexible one the tagged header", () => {
  for (const { api, version, flexible, name } of everyVersion(apis)) {
    const response = emptyMessage(api.response, version) as ResponseInput<Api>;
    const frame = Buffer.concat(encodeResponseFrame(api, version, 7, response));
    const body = encodeMessage(api.response, response, { version, flexible });
    const headerBytes = flexible && api.name !== "ApiVersions" ? 5 : 4;
    assert.equal(frame.length, frameLengthBytes + headerBytes + body.length, name);
    assert.equal(frame.readInt32BE(0), headerBytes + body.length, name);
  }
});

test("the table has every API once, by its key and by its name", () => {
  for (const api of apis) {
    assert.equal(apiByKey(api.key), api);
    assert.equal(apiByName(api.name), api);
  }
  for (const key of [-1, 4, 71, 999, 0x7fff]) assert.equal(apiByKey(key), undefined);
  assert.equal(apiByName("GetTelemetrySubscriptions"), undefined);
});
