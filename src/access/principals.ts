/** Names of who asks: `User:alice` is a kind and a name (Kafka's KafkaPrincipal). */
export const anonymousPrincipal = "User:ANONYMOUS";

export function userPrincipal(name: string): string {
  return `User:${name}`;
}

/** The name of a principal of kind User; undefined for another kind. */
export function userOf(principal: string): string | undefined {
  return principal.startsWith("User:") ? principal.slice(5) : undefined;
}

/** Whether text has the form of a principal: a kind, a colon, a name. */
export function isPrincipal(text: string): boolean {
  return text.includes(":");
}
