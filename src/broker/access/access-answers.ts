/** What the door answers about access: rules, credentials of users, quotas, and SASL. */
import type { Access } from "../../access/access.ts";
import type { QuotaTable } from "../../access/quota-table.ts";
import type { ScramCredentials } from "../../access/scram-credentials.ts";
import type { Answer } from "../handler.ts";
import { aclAnswers } from "./acl-answers.ts";
import { quotaAnswers } from "./quota-answers.ts";
import { saslAnswers } from "./sasl-answers.ts";
import { scramAnswers } from "./scram-answers.ts";

export interface AccessAnswersParts {
  readonly access: Access;
  readonly credentials: ScramCredentials;
  readonly quotas: QuotaTable;
}

export function accessAnswers({ access, credentials, quotas }: AccessAnswersParts): Answer[] {
  return [...aclAnswers(access), ...scramAnswers(credentials), ...quotaAnswers(quotas), ...saslAnswers()];
}
