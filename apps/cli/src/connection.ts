import { CommandError } from './command.ts';
import { dataFolder } from './paths.ts';
import { readReady } from './up/ready.ts';

/** A management API and the right to use it. */
export interface Connection {
  readonly api: URL;
  readonly token: string;
}

/**
 * Flags win over the environment. When neither names an API or a token, the `arcus up` that runs on this machine is
 * meant; its token never goes to an API that was named.
 */
export function resolveConnection(values: Record<string, unknown>, env: NodeJS.ProcessEnv): Connection {
  const api = (values.api as string | undefined) ?? env.ARCUS_API;
  const token = (values.token as string | undefined) ?? env.ARCUS_TOKEN;
  if (!api && !token) {
    const ready = readReady(dataFolder(env));
    if (ready) return { api: new URL(ready.api), token: ready.admin_token };
    throw new CommandError(
      `no management API: name it with --api or ARCUS_API (and a token with ARCUS_TOKEN), or run "arcus up" ` +
        `(its ready.json is not in ${dataFolder(env)})`,
    );
  }
  if (!token) throw new CommandError('no token: name it with ARCUS_TOKEN or --token');
  if (!api) throw new CommandError('no management API: name it with ARCUS_API or --api');
  if (!URL.canParse(api) || !/^https?:$/.test(new URL(api).protocol)) {
    throw new CommandError(`--api or ARCUS_API: "${api}" is not an http or https URL`);
  }
  return { api: new URL(api), token };
}
