# An image of the server, made of this repository: docs/deploying.md says how to build and to run it.
# Its root file system may be read-only. What it keeps is in /data, unless DATABASE_URL names a PostgreSQL.

FROM node:24-bookworm-slim AS build
WORKDIR /build
# .npmrc belongs to the lock file: without it npm says that package.json and the lock file are not in sync.
COPY .npmrc package.json package-lock.json ./
COPY clients/typescript/package.json clients/typescript/
COPY console/package.json console/
RUN npm ci --ignore-scripts
COPY codegen.ts schema.graphql tsconfig.json ./
COPY clients clients
COPY console console
COPY prisma prisma
COPY src src
RUN npx graphql-codegen && npm run build && npm pack --ignore-scripts

FROM node:24-bookworm-slim AS install
WORKDIR /app
COPY .npmrc package.json package-lock.json ./
COPY clients/typescript/package.json clients/typescript/
COPY console/package.json console/
# The packed server brings the kit that it uses: the link that npm makes of it would lead nowhere.
RUN npm ci --omit=dev --ignore-scripts && rm -rf clients console node_modules/@ai-job-server
COPY --from=build /build/ai-job-server-*.tgz /tmp/
RUN tar -xzf /tmp/ai-job-server-*.tgz --strip-components=1 --no-same-owner

FROM node:24-bookworm-slim
WORKDIR /app
COPY --from=install /app ./
RUN install --directory --owner=node --group=node /data
# Whoever reaches a container must show a credential: without AUTH=required the server listens on no such address.
ENV HOST=0.0.0.0 AUTH=required DATABASE_URL=file:/data/jobs
VOLUME /data
USER node
EXPOSE 4000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 4000}/ready`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--max-semi-space-size=64", "dist/cli/main.js", "serve"]
