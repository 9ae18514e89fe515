/** The public face of the package: what a definition module imports. */
export { MillraceError } from "./base/errors.ts";
export {
  dropboxChallenge,
  graphChallenge,
  metaChallenge,
  oktaChallenge,
  slackChallenge,
  zoomChallenge,
} from "./capture/webhooks/challenges.ts";
export { basicAuth, bearerToken, noVerification } from "./capture/webhooks/verify/credentials.ts";
export { discordSignature, ed25519Signature } from "./capture/webhooks/verify/ed25519.ts";
export { hmacSignature } from "./capture/webhooks/verify/hmac.ts";
export { standardWebhooks, svixSignature } from "./capture/webhooks/verify/standard-webhooks.ts";
export { twilioSignature } from "./capture/webhooks/verify/twilio.ts";
export {
  githubSignature,
  metaSignature,
  shopifySignature,
  slackSignature,
  stripeSignature,
  zoomSignature,
} from "./capture/webhooks/verify/vendors.ts";
export type { PublishOptions, SqlClient } from "./catalog/define/outbox.ts";
export type { OutboxTableOptions } from "./catalog/define/outbox-table.ts";
export type {
  Definition,
  GroupDefinition,
  GroupOptions,
  ListedEvent,
  ListPage,
  ListRequest,
  PostgresDefinition,
  PostgresOptions,
  ReconcileOptions,
  SqlReference,
  SqlText,
  StandardSchema,
  TableReference,
  TopicDefinition,
  TopicOptions,
  ViewDefinition,
  ViewOptions,
  WebhookChallenge,
  WebhookChallengeAnswer,
  WebhookDefinition,
  WebhookFunction,
  WebhookOptions,
  WebhookRequest,
  WebhookValue,
  WebhookVerdict,
  WebhookVerifier,
} from "./catalog/definitions.ts";
export { group, postgres, sql, topic, view, webhook } from "./catalog/definitions.ts";
