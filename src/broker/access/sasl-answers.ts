/** SaslHandshake and SaslAuthenticate. On a listener without SASL, and after it is through, both are out of place. */
import { saslAuthenticate } from "../../kafka/apis/sasl-authenticate.ts";
import { saslHandshake } from "../../kafka/apis/sasl-handshake.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { type Answer, answers, type Handler } from "../handler.ts";
import { isSaslSession } from "./sasl.ts";

export function saslAnswers(): Answer[] {
  return [answers(saslHandshake, handshake), answers(saslAuthenticate, authenticate)];
}

const handshake: Handler<typeof saslHandshake> = ({ mechanism }, context) => {
  if (!isSaslSession(context.session)) return { errorCode: kafkaErrors.ILLEGAL_SASL_STATE, mechanisms: [] };
  const { errorCode, mechanisms, isRefused } = context.session.handshake(mechanism, context.apiVersion);
  if (isRefused) context.closeAfter("SASL authentication failed");
  return { errorCode, mechanisms };
};

const authenticate: Handler<typeof saslAuthenticate> = async ({ authBytes }, context) => {
  if (!isSaslSession(context.session)) {
    return {
      errorCode: kafkaErrors.ILLEGAL_SASL_STATE,
      errorMessage: "SaslAuthenticate request received after successful authentication",
      authBytes: Buffer.alloc(0),
    };
  }
  const { isRefused, ...response } = await context.session.authenticate(authBytes);
  if (isRefused) context.closeAfter("SASL authentication failed");
  return response;
};
