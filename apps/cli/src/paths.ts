import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const project = fileURLToPath(new URL('../../..', import.meta.url));

/** Where `arcus up` keeps everything: $ARCUS_DATA, else `.data` in the project. Absolute. */
export const dataFolder = (env: NodeJS.ProcessEnv): string => resolve(env.ARCUS_DATA || join(project, '.data'));

/** The database of `arcus up`, unless ARCUS_DATABASE_URL names another. */
export const embeddedDatabase = (env: NodeJS.ProcessEnv): string => `file:${join(dataFolder(env), 'arcus.db')}`;

/** Its config store, unless ARCUS_STORE_URL names another. */
export const embeddedStore = (env: NodeJS.ProcessEnv): string => `file:${join(dataFolder(env), 'store')}`;
