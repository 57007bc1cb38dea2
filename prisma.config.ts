// `prisma generate` asks for the schema engine although it never runs it; a site without Prisma's binary host has none.
process.env.PRISMA_SCHEMA_ENGINE_BINARY ??= '/bin/true';

export default {
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations/mysql' },
};
