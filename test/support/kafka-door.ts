/** The whole program with its Kafka door open, as a user starts it while developing. */
import { type Program, runProgram } from "./program.ts";

export interface KafkaDoor {
  /** As clients get it in `bootstrap.servers`. */
  readonly bootstrap: string;
  readonly program: Program;
  [Symbol.asyncDispose](): Promise<void>;
}

/** In development groups begin at once, as those of `startKafka` do. */
export async function startDoor(env: Readonly<Record<string, string>> = {}): Promise<KafkaDoor> {
  const program = await runProgram({
    script: ["src/cli/millrace.ts", "dev", "test/crash/process/empty-app.ts"],
    env: { MILLRACE_KAFKA_PORT: "0", ...env },
  });
  try {
    const bootstrap = program.kafka;
    if (bootstrap === "") throw new Error(`the Kafka door is shut:\n${program.words()}`);
    return { bootstrap, program, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
}
