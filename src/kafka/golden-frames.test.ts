/**
 * Frames that this codec has not made: answers of a real Kafka 4.3.1 to a script of requests, and messages with every field
 * filled by Kafka's own classes, for every API in every version. How they were recorded: docs/guide/development.md.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  fullMessages,
  type JavaMessage,
  readJavaMessages,
  structOf,
} from "../../test/conformance/kafka/wire/java-messages.ts";
import { type RecordedExchange, readRecording } from "../../test/conformance/kafka/wire/recording.ts";
import { errorCodesOf } from "../../test/conformance/kafka/wire/script.ts";
import { apiByKey, apis } from "./apis.ts";
import type { Api, RequestInput, ResponseInput } from "./fields.ts";
import {
  decodeRequest,
  decodeResponseFrame,
  encodeRequestFrame,
  encodeResponseFrame,
  frameLengthBytes,
  readRequestHeader,
} from "./frames.ts";
import { kafkaErrors } from "./kafka-errors.ts";
import { decodedForm, everyVersion } from "./message.fixture.ts";

interface Recorded extends RecordedExchange {
  readonly api: Api;
  readonly version: number;
}

const recording = readRecording().map((exchange): Recorded => {
  const { apiKey, apiVersion: version } = readRequestHeader(exchange.request.subarray(frameLengthBytes));
  const api = apiByKey(apiKey);
  assert.ok(api, `the API ${apiKey} of "${exchange.name}" is not known`);
  return { ...exchange, api, version };
});
const javas = new Map(readJavaMessages().map((one) => [`${one.api} v${one.version} ${one.side}`, one]));

function requestAgain({ request, api, version }: Recorded): Buffer {
  const frame = request.subarray(frameLengthBytes);
  const { correlationId, clientId, bodyPosition } = readRequestHeader(frame);
  const content = decodeRequest(api, version, frame, bodyPosition) as RequestInput<Api>;
  return Buffer.concat(encodeRequestFrame(api, version, correlationId, clientId, content));
}

function responseOf({ api, version, response }: Recorded): { correlationId: number; response: ResponseInput<Api> } {
  assert.ok(response);
  return decodeResponseFrame(api, version, response.subarray(frameLengthBytes)) as ReturnType<typeof responseOf>;
}

describe("frames of Kafka", () => {
  for (const api of apis) {
    const exchanges = recording.filter((one) => one.api === api);

    test(`${api.name}: answers of Kafka are read, and written again as the same bytes`, () => {
      for (const one of exchanges) {
        if (one.response === null) continue;
        const { correlationId, response } = responseOf(one);
        const again = Buffer.concat(encodeResponseFrame(api, one.version, correlationId, response));
        assert.deepEqual(again, one.response, one.name);
      }
    });

    test(`${api.name}: requests that Kafka has answered are read, and written again as the same bytes`, () => {
      for (const one of exchanges) assert.deepEqual(requestAgain(one), one.request, one.name);
    });

    test(`${api.name}: messages that Kafka's classes have made are read with every field, and written as the same bytes`, () => {
      for (const one of fullMessages().filter((message) => message.api === api)) {
        const { version, side, message } = one;
        const java = javas.get(`${api.name} v${version} ${side}`);
        assert.ok(java, `${api.name} v${version} ${side} is not recorded`);
        const read = side === "Request" ? readJavaRequest(api, java) : readJavaResponse(api, java);
        assert.deepEqual(read.content, decodedForm(structOf(api, side), version, message));
        assert.deepEqual(read.again.subarray(frameLengthBytes), java.frame);
      }
    });
  }
});

function readJavaRequest(api: Api, { frame, version }: JavaMessage): { content: unknown; again: Buffer } {
  const { apiKey, apiVersion, correlationId, clientId, bodyPosition } = readRequestHeader(frame);
  assert.deepEqual([apiKey, apiVersion, correlationId, clientId], [api.key, version, 77, "java"]);
  const content = decodeRequest(api, version, frame, bodyPosition) as RequestInput<Api>;
  return { content, again: Buffer.concat(encodeRequestFrame(api, version, correlationId, clientId, content)) };
}

function readJavaResponse(api: Api, { frame, version }: JavaMessage): { content: unknown; again: Buffer } {
  const { correlationId, response } = decodeResponseFrame(api, version, frame);
  assert.equal(correlationId, 77);
  return {
    content: response,
    again: Buffer.concat(encodeResponseFrame(api, version, correlationId, response as ResponseInput<Api>)),
  };
}

test("every version of every API was asked of Kafka, and answered", () => {
  const answered = new Set(
    recording.filter(({ response }) => response).map((one) => `${one.api.name} v${one.version}`),
  );
  const missing = everyVersion(apis).filter(({ name }) => !answered.has(name));
  assert.deepEqual(
    missing.map(({ name }) => name),
    [],
  );
});

/** A few answers whose errors everybody knows, so that a field which is read from the wrong place is noticed. */
const places: readonly (readonly [step: string, errors: readonly (keyof typeof kafkaErrors)[]])[] = [
  ["ApiVersions from a client without a name", ["INVALID_REQUEST"]],
  ["Produce v3 with acks 7", ["INVALID_REQUIRED_ACKS"]],
  ["Produce v13 with acks 7", ["INVALID_REQUIRED_ACKS"]],
  ["a batch that leaves one out", ["OUT_OF_ORDER_SEQUENCE_NUMBER"]],
  ["a batch of an epoch gone by", ["INVALID_PRODUCER_EPOCH"]],
  ["Fetch from an epoch to come", ["NONE", "UNKNOWN_LEADER_EPOCH"]],
  ["a session that is not there, v12", ["FETCH_SESSION_ID_NOT_FOUND"]],
  ["the session is asked with a wrong epoch, v18", ["INVALID_FETCH_SESSION_EPOCH"]],
  ["classic-9: asks for an id", ["MEMBER_ID_REQUIRED"]],
  ["classic-0: heartbeat of a generation to come", ["ILLEGAL_GENERATION"]],
  ["classic-4: heartbeat of a stranger", ["UNKNOWN_MEMBER_ID"]],
  ["joins the pair with another protocol", ["INCONSISTENT_GROUP_PROTOCOL"]],
  ["the first hears of it", ["REBALANCE_IN_PROGRESS"]],
  ["its old self is fenced", ["FENCED_INSTANCE_ID"]],
  ["consumers-1: an epoch to come", ["FENCED_MEMBER_EPOCH"]],
  ["consumers-1: an assignor that is not there", ["UNSUPPORTED_ASSIGNOR"]],
  ["tx-4: ends with another producer", ["INVALID_PRODUCER_ID_MAPPING"]],
  ["a transaction for ever", ["INVALID_TRANSACTION_TIMEOUT"]],
  ["a mechanism that is not there", ["UNSUPPORTED_SASL_MECHANISM"]],
  ["SaslAuthenticate v2 with a wrong password", ["SASL_AUTHENTICATION_FAILED"]],
  ["a stranger: EndTxn", ["TRANSACTIONAL_ID_AUTHORIZATION_FAILED"]],
];

test("errors stand at the places where Kafka puts them", () => {
  const nameOf = new Map<number, string>(Object.entries(kafkaErrors).map(([name, code]) => [code, name]));
  for (const [step, expected] of places) {
    const one = recording.find(({ name }) => name === step);
    assert.ok(one, step);
    const codes = errorCodesOf(responseOf(one).response).map(({ code }) => nameOf.get(code));
    assert.deepEqual(codes, expected, step);
  }
});
