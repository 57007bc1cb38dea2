import type { Config } from '@arcus/gateway/config.ts';
import { type Answer, ApiError, ask, path } from './client.ts';
import { type ConfigFile, documentOf, FileFaults, placed } from './config-file.ts';
import type { Connection } from './connection.ts';

/** The shared config is not a tenant's: its routes are others. */
export const configPath = (tenant: string): string =>
  tenant === '_global' ? '/config/global' : `${path('tenants', tenant)}/config`;

/** Says which tenant there is not: the API's 404 does not, and a wrong name is the likeliest mistake. */
export async function ofTenant<T>(tenant: string, asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    const detail = `there is no tenant "${tenant}" that this token may see`;
    throw new ApiError(404, { ...error.problem, detail });
  }
}

/** A tenant's config as it is stored, with its newest release. */
export async function getConfig(api: Connection, tenant: string): Promise<{ config: Config; version: number }> {
  const { body, headers } = await ofTenant(tenant, ask(api, configPath(tenant)));
  return { config: body, version: Number(headers.get('arcus-release')) };
}

/** Where a draft is, below the API. */
export const draftPath = (tenant: string, draft: string, ...more: string[]): string =>
  path('tenants', tenant, 'drafts', draft, ...more);

/** Replaces a tenant's config by a file's; faults that the API finds are shown at their places in the file. */
export const putConfig = (
  api: Connection,
  tenant: string,
  file: ConfigFile,
  query: Record<string, string>,
  timeout?: number,
): Promise<Answer> =>
  ofTenant(tenant, putDocument(api, `${configPath(tenant)}?${new URLSearchParams(query)}`, file, timeout));

/** As `putConfig`, to any route that takes a whole config. */
export async function putDocument(api: Connection, where: string, file: ConfigFile, timeout?: number): Promise<Answer> {
  try {
    return await ask(api, where, {
      method: 'PUT',
      body: JSON.stringify(documentOf(file)),
      headers: { 'if-match': '*' },
      ...(timeout === undefined ? {} : { timeout }),
    });
  } catch (error) {
    if (error instanceof ApiError && error.status === 422 && error.problem.errors) {
      throw new FileFaults(placed(file, error.problem.errors));
    }
    throw error;
  }
}
