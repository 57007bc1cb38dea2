import { objectSchemas } from '@arcus/gateway/config.ts';
import { type Family, families } from '@arcus/gateway/kind.ts';

/** A family as routes spell it: `user-groups` for `user_groups`. */
export const familyPaths = families.map((family) => ({ family, path: family.replaceAll('_', '-') }));

export const schemaOf = (family: Family) => objectSchemas[family];

const singular: Record<Family, string> = {
  servers: 'server',
  escapers: 'escaper',
  resolvers: 'resolver',
  user_groups: 'user group',
  auditors: 'auditor',
  policies: 'policy',
};

export const oneOf = (family: Family): string => singular[family];
