import { join } from 'node:path';

/** Beside the packages: whoever may write there may change the program anyway, which is not so in a folder for all. */
const FOLDER = join(import.meta.dirname, '../../../node_modules/.cache/arcus');

/**
 * The variable with which Node keeps what it makes of our modules (types taken out, code compiled), for the next start:
 * else that is half of what a short command takes. Nothing when somebody has chosen.
 * A folder that cannot be written is as good as none. Source: Node's "module compile cache".
 */
export function compileCache(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const chosen = env.NODE_COMPILE_CACHE !== undefined || env.NODE_DISABLE_COMPILE_CACHE !== undefined;
  return chosen ? {} : { NODE_COMPILE_CACHE: FOLDER };
}
