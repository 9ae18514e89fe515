/**
 * Frames of the protocol: a length of four bytes, a header, a message.
 *
 * Request headers are v1 (key, version, correlation id, client id), and v2 (tagged fields after them) where the request
 * is flexible; the client id keeps its classic length. Response headers are v0 (correlation id), and v1 (tagged fields)
 * where the response is flexible; the response to ApiVersions has v0 always, because its reader may be older (KIP-511).
 * Bytes after a request are ignored, as by Kafka.
 */
import { invariant, MillraceError } from "../base/errors.ts";
import { apiByKey } from "./apis.ts";
import { type Decoder, structDecoder } from "./decode.ts";
import { type Encoder, structEncoder } from "./encode.ts";
import type { Api, RequestInput, RequestOf, ResponseInput, ResponseOf, StructField } from "./fields.ts";
import { WireReader } from "./wire-reader.ts";
import { WireWriter } from "./wire-writer.ts";

export const frameLengthBytes = 4;
const frameBytesMax = 0x7fffffff;
const apiVersionsKey = 18;

export interface RequestHeader {
  /** As the client sent it, known or not. */
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
  readonly clientId: string | null;
  /** Where the message begins; a guess when the key is not known. */
  readonly bodyPosition: number;
}

/** Whether messages of this version can be read and written; fewer may be so than are advertised. */
export function isServed({ versions: [lowest, highest] }: Api, version: number): boolean {
  return version >= lowest && version <= highest;
}

/** `frame` is without its length. Throws REQUEST_MALFORMED. */
export function readRequestHeader(frame: Buffer): RequestHeader {
  const reader = new WireReader(frame, 0, "a request's header");
  const apiKey = reader.int16();
  const apiVersion = reader.int16();
  const correlationId = reader.int32();
  const clientIdBytes = reader.int16();
  const clientId = clientIdBytes < 0 ? null : reader.text(clientIdBytes);
  const api = apiByKey(apiKey);
  if (api !== undefined && isFlexible(api, apiVersion)) skipTaggedFields(reader);
  return { apiKey, apiVersion, correlationId, clientId, bodyPosition: reader.position };
}

/** Throws REQUEST_MALFORMED, also for a version that is not served. */
export function decodeRequest<A extends Api>(
  api: A,
  version: number,
  frame: Buffer,
  bodyPosition: number,
): RequestOf<A> {
  if (!isServed(api, version))
    throw new MillraceError("REQUEST_MALFORMED", `${api.name} has no version ${version} here`);
  const reader = new WireReader(frame, bodyPosition, `a request ${api.name} v${version}`);
  return codecOf(api, version).decodeRequest(reader) as RequestOf<A>;
}

/** With its length; chunks to be written one after the other. */
export function encodeResponseFrame<A extends Api>(
  api: A,
  version: number,
  correlationId: number,
  response: ResponseInput<A>,
): Buffer[] {
  const { encodeResponse } = codecOf(api, version);
  beginFrame();
  writer.int32(correlationId);
  if (hasTaggedResponseHeader(api, version)) writer.unsignedVarint(0);
  encodeResponse(writer, response);
  return endFrame();
}

/** What a client sends. */
export function encodeRequestFrame<A extends Api>(
  api: A,
  version: number,
  correlationId: number,
  clientId: string | null,
  request: RequestInput<A>,
): Buffer[] {
  const { encodeRequest } = codecOf(api, version);
  beginFrame();
  writer.int16(api.key);
  writer.int16(version);
  writer.int32(correlationId);
  if (clientId === null) writer.int16(-1);
  else writer.text(clientId, false);
  if (isFlexible(api, version)) writer.unsignedVarint(0);
  encodeRequest(writer, request);
  return endFrame();
}

/** What a client reads; `frame` is without its length. Throws REQUEST_MALFORMED. */
export function decodeResponseFrame<A extends Api>(
  api: A,
  version: number,
  frame: Buffer,
): { correlationId: number; response: ResponseOf<A> } {
  const reader = new WireReader(frame, 0, `a response ${api.name} v${version}`);
  const correlationId = reader.int32();
  if (hasTaggedResponseHeader(api, version)) skipTaggedFields(reader);
  return { correlationId, response: codecOf(api, version).decodeResponse(reader) as ResponseOf<A> };
}

function isFlexible({ flexibleFrom }: Api, version: number): boolean {
  return flexibleFrom !== null && version >= flexibleFrom;
}

function hasTaggedResponseHeader(api: Api, version: number): boolean {
  return isFlexible(api, version) && api.key !== apiVersionsKey;
}

function skipTaggedFields(reader: WireReader): void {
  const count = reader.unsignedVarint();
  for (let read = 0; read < count; read++) {
    reader.unsignedVarint();
    reader.skip(reader.unsignedVarint());
  }
}

/** Encoding is one synchronous run from `beginFrame` to `endFrame`, so one writer does for all. */
const writer = new WireWriter();

function beginFrame(): void {
  writer.begin();
  writer.int32(0);
}

function endFrame(): Buffer[] {
  const byteCount = writer.frameBytes - frameLengthBytes;
  invariant(byteCount <= frameBytesMax, `a frame of ${byteCount} bytes is longer than the protocol allows`);
  writer.setInt32(0, byteCount);
  return writer.finish();
}

/** Each is made when it is first asked for. */
class VersionCodec {
  readonly #api: Api;
  readonly #version: number;
  #decodeRequest: Decoder | null = null;
  #decodeResponse: Decoder | null = null;
  #encodeRequest: Encoder | null = null;
  #encodeResponse: Encoder | null = null;

  constructor(api: Api, version: number) {
    this.#api = api;
    this.#version = version;
  }

  get decodeRequest(): Decoder {
    this.#decodeRequest ??= this.#make(structDecoder, this.#api.request);
    return this.#decodeRequest;
  }

  get decodeResponse(): Decoder {
    this.#decodeResponse ??= this.#make(structDecoder, this.#api.response);
    return this.#decodeResponse;
  }

  get encodeRequest(): Encoder {
    this.#encodeRequest ??= this.#make(structEncoder, this.#api.request);
    return this.#encodeRequest;
  }

  get encodeResponse(): Encoder {
    this.#encodeResponse ??= this.#make(structEncoder, this.#api.response);
    return this.#encodeResponse;
  }

  #make<T>(made: (struct: StructField, version: number, flexible: boolean) => T, struct: StructField): T {
    return made(struct, this.#version, isFlexible(this.#api, this.#version));
  }
}

const codecs = new WeakMap<Api, VersionCodec[]>();

function codecOf(api: Api, version: number): VersionCodec {
  invariant(isServed(api, version), `${api.name} has no version ${version}`);
  let versions = codecs.get(api);
  if (versions === undefined) {
    versions = Array.from({ length: api.versions[1] + 1 }, (_, each) => new VersionCodec(api, each));
    codecs.set(api, versions);
  }
  return versions[version] as VersionCodec;
}
