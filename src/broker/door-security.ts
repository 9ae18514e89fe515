/**
 * Who may come in and what they may do, as the door's parts need it: rules, credentials and quotas of the catalogue, the
 * mechanisms of SASL, and how a certificate names its owner.
 */
import { Access, type AccessSettings } from "../access/access.ts";
import { subjectOfCertificate } from "../access/certificate-subject.ts";
import { ClientQuotas } from "../access/client-quotas.ts";
import type { TokenRules } from "../access/json-web-token.ts";
import { PasswordWork } from "../access/password-work.ts";
import { type PrincipalMapping, readPrincipalMapping } from "../access/principal-mapping.ts";
import { QuotaTable } from "../access/quota-table.ts";
import { SaslMechanisms } from "../access/sasl-mechanisms.ts";
import { ScramCredentials } from "../access/scram-credentials.ts";
import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import type { Catalogue } from "../catalog/catalogue-topic.ts";

export interface SecuritySettings extends Pick<AccessSettings, "authorization" | "superUsers" | "openWithoutRule"> {
  /** sasl.enabled.mechanisms; empty where no listener is of SASL. */
  readonly mechanisms: readonly string[];
  /** For OAUTHBEARER. */
  readonly tokens: TokenRules | null;
  /** ssl.principal.mapping.rules */
  readonly principalRules: string;
  /** connections.max.reauth.ms; 0 for never. */
  readonly reauthenticateMs: number;
}

export const defaultSecuritySettings: SecuritySettings = {
  authorization: false,
  superUsers: [],
  openWithoutRule: false,
  mechanisms: [],
  tokens: null,
  principalRules: "DEFAULT",
  reauthenticateMs: 0,
};

export interface DoorSecurity {
  readonly access: Access;
  readonly credentials: ScramCredentials;
  readonly quotaTable: QuotaTable;
  readonly quotas: ClientQuotas;
  readonly sasl: SaslMechanisms | null;
  readonly reauthenticateMs: number;
  /** Undefined for a peer whose certificate no rule names: it is not let in. */
  principalOfCertificate(der: Buffer | undefined): string | undefined;
  close(): void;
}

/** Throws `SETTING_INVALID`, and what the catalogue throws. */
export async function openDoorSecurity(
  catalogue: Catalogue,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
  given: Partial<SecuritySettings> = {},
): Promise<DoorSecurity> {
  const settings = { ...defaultSecuritySettings, ...given };
  const mapping: PrincipalMapping = readPrincipalMapping(settings.principalRules);
  const credentials = await ScramCredentials.open(catalogue, random);
  const access = new Access(catalogue, settings);
  const quotaTable = new QuotaTable(catalogue);
  const parts = { credentials, work: new PasswordWork(), random, clock, tokens: settings.tokens };
  return {
    access,
    credentials,
    quotaTable,
    quotas: new ClientQuotas(quotaTable, clock),
    sasl: settings.mechanisms.length === 0 ? null : new SaslMechanisms(settings.mechanisms, parts),
    reauthenticateMs: settings.reauthenticateMs,
    principalOfCertificate: (der) => mapping.principalOf(der && subjectOfCertificate(der)),
    close() {
      access.close();
      credentials.close();
      quotaTable.close();
    },
  };
}
