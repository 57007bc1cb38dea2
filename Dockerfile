# One image for the management API and for the worker; the command decides:
#   node apps/api/src/main.ts        (the default)
#   node apps/worker/src/main.ts
#   node apps/cli/src/main.ts …      (the command `arcus`)

FROM node:24-slim AS build
WORKDIR /arcus
COPY . .
# The tools that generate the database clients are needed only here.
RUN npx -y pnpm@12.21.0 install --frozen-lockfile \
 && node scripts/generate-db.mjs \
 && find . -name node_modules -prune -exec rm -rf {} + \
 && npx -y pnpm@12.21.0 install --frozen-lockfile --prod --offline \
 && rm -rf node_modules/.pnpm/node-linux-*

FROM node:24-slim
ENV NODE_ENV=production
WORKDIR /arcus
COPY --from=build /arcus /arcus
# The worker keeps its last good releases here.
RUN mkdir -p /var/lib/arcus /var/cache/arcus && chown node:node /var/lib/arcus /var/cache/arcus
VOLUME /var/lib/arcus
USER node
# What Node makes of the modules, so that no container makes it again when it starts.
ENV NODE_COMPILE_CACHE=/var/cache/arcus
RUN node --input-type=module -e "for (const app of ['api/src/start', 'worker/src/app', 'cli/src/cli']) await import('/arcus/apps/' + app + '.ts')"
EXPOSE 7700 7900 8080
CMD ["node", "apps/api/src/main.ts"]
