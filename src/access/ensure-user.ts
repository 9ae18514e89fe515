/** A user that is to be there with a given password; nothing is written where that is so already. */
import type { Random } from "../base/random.ts";
import type { ScramCredentials } from "./scram-credentials.ts";
import { credentialOf, saltPassword, sameBytes, scramIterationsMin, scramMechanisms } from "./scram-keys.ts";

const saltBytes = 24;

export async function ensureUser(
  credentials: ScramCredentials,
  random: Random,
  { user, password }: { readonly user: string; readonly password: string },
): Promise<void> {
  for (const mechanism of scramMechanisms) {
    const known = credentials.find(user, mechanism);
    if (known) {
      const salted = await saltPassword(mechanism, password, known.salt, known.iterations);
      const same = credentialOf(mechanism, salted, known.salt, known.iterations);
      if (sameBytes(same.storedKey, known.storedKey)) continue;
    }
    const salt = random.bytes(saltBytes);
    const salted = await saltPassword(mechanism, password, salt, scramIterationsMin);
    const credential = credentialOf(mechanism, salted, salt, scramIterationsMin);
    await credentials.change([{ user, mechanism, credential }]);
  }
}
