import type { Connection } from './connection.ts';
import type { Output } from './output.ts';

/** One flag. `value` names what follows it; without it the flag is a yes. */
export interface Flag {
  readonly value?: string;
  readonly short?: string;
  readonly description: string;
}

type Values<F extends Record<string, Flag>> = {
  readonly [K in keyof F]: F[K] extends { value: string } ? string | undefined : boolean;
};

/** What a command gets: its arguments parsed, and the world around it. */
export interface Call<V = Record<string, string | boolean | undefined>> {
  readonly values: V;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly out: Output;
  /** The management API that was named by flags, environment or a running `arcus up`. */
  connect(): Connection;
}

export interface Command {
  /** One or two words. */
  readonly name: string;
  readonly summary: string;
  /** Names of the positional arguments as help shows them: `TENANT`, `[TENANT]`, `FILE…`. */
  readonly args: readonly string[];
  readonly flags: Record<string, Flag>;
  /** True when it talks to the management API: it then takes --api and --token. */
  readonly remote: boolean;
  /** More lines of help, about exit codes above all. */
  readonly notes?: string;
  readonly examples: readonly string[];
  /** Resolves to the exit code. */
  run(call: Call<any>): Promise<number>;
}

/** Types `run`'s values after the flags. */
export const defineCommand = <const F extends Record<string, Flag>>(
  command: Omit<Command, 'flags' | 'run'> & { flags: F; run(call: Call<Values<F>>): Promise<number> },
): Command => command;

/** 0: done. */
export const OK = 0;
/** 1: the answer is no: invalid, different, refused, not acknowledged, cannot start. */
export const NO = 1;
/** 2: the question could not be asked: wrong arguments, no connection, no permission. */
export const TROUBLE = 2;

/** Wrong arguments: shown with a hint at the command's help. */
export class UsageError extends Error {}

/** Anything else that stops a command; `exitCode` is TROUBLE unless said. */
export class CommandError extends Error {
  readonly exitCode: number;
  readonly details: Record<string, unknown>;
  constructor(message: string, { exitCode = TROUBLE, details = {} }: { exitCode?: number; details?: object } = {}) {
    super(message);
    this.exitCode = exitCode;
    this.details = { ...details };
  }
}
