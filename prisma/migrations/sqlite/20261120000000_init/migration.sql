CREATE TABLE "tenants" (
  "tenant_id" TEXT NOT NULL,
  "tenant_name" TEXT NOT NULL,
  "status" TEXT NOT NULL DEFAULT 'active',
  "resource_limits" JSONB NOT NULL,
  "metadata" JSONB NOT NULL,
  "changes" INTEGER NOT NULL,
  "revision" INTEGER NOT NULL,
  "config_revision" INTEGER NOT NULL,
  "version" INTEGER NOT NULL,
  "created_at" DATETIME NOT NULL,
  "updated_at" DATETIME NOT NULL,
  PRIMARY KEY ("tenant_id")
);

CREATE TABLE "resources" (
  "tenant_id" TEXT NOT NULL,
  "family" TEXT NOT NULL,
  "name" TEXT NOT NULL,
  "type" TEXT NOT NULL,
  "enabled" BOOLEAN NOT NULL,
  "config" JSONB NOT NULL,
  "revision" INTEGER NOT NULL,
  "created_at" DATETIME NOT NULL,
  "updated_at" DATETIME NOT NULL,
  PRIMARY KEY ("tenant_id", "family", "name"),
  CONSTRAINT "resources_tenant_id_fkey" FOREIGN KEY ("tenant_id") REFERENCES "tenants" ("tenant_id") ON DELETE CASCADE
);

CREATE TABLE "users" (
  "tenant_id" TEXT NOT NULL,
  "username" TEXT NOT NULL,
  "user_group" TEXT NOT NULL,
  "blocked" BOOLEAN NOT NULL,
  "credential" TEXT NOT NULL,
  "config" JSONB NOT NULL,
  "revision" INTEGER NOT NULL,
  "created_at" DATETIME NOT NULL,
  "updated_at" DATETIME NOT NULL,
  PRIMARY KEY ("tenant_id", "username"),
  CONSTRAINT "users_tenant_id_fkey" FOREIGN KEY ("tenant_id") REFERENCES "tenants" ("tenant_id") ON DELETE CASCADE
);
CREATE INDEX "users_tenant_id_user_group_username_idx" ON "users" ("tenant_id", "user_group", "username");

CREATE TABLE "releases" (
  "tenant_id" TEXT NOT NULL,
  "version" INTEGER NOT NULL,
  "state" TEXT NOT NULL,
  "checksum" TEXT NOT NULL,
  "manifest" TEXT NOT NULL,
  "author" TEXT NOT NULL,
  "message" TEXT NOT NULL,
  "bytes" INTEGER NOT NULL,
  "created_at" DATETIME NOT NULL,
  "published_at" DATETIME NULL,
  PRIMARY KEY ("tenant_id", "version"),
  CONSTRAINT "releases_tenant_id_fkey" FOREIGN KEY ("tenant_id") REFERENCES "tenants" ("tenant_id") ON DELETE CASCADE
);
CREATE INDEX "releases_state_tenant_id_idx" ON "releases" ("state", "tenant_id");

CREATE TABLE "blobs" (
  "sha256" TEXT NOT NULL,
  "body" BLOB NOT NULL,
  "created_at" DATETIME NOT NULL,
  PRIMARY KEY ("sha256")
);

CREATE TABLE "listen_addresses" (
  "port" INTEGER NOT NULL,
  "host" TEXT NOT NULL,
  "tenant_id" TEXT NOT NULL,
  "server" TEXT NOT NULL,
  PRIMARY KEY ("port", "host"),
  CONSTRAINT "listen_addresses_tenant_id_fkey" FOREIGN KEY ("tenant_id") REFERENCES "tenants" ("tenant_id") ON DELETE CASCADE
);
CREATE INDEX "listen_addresses_tenant_id_idx" ON "listen_addresses" ("tenant_id");

CREATE TABLE "listen_ports" (
  "port" INTEGER NOT NULL,
  PRIMARY KEY ("port")
);

CREATE TABLE "deleted_tenants" (
  "tenant_id" TEXT NOT NULL,
  "changes" INTEGER NOT NULL,
  "version" INTEGER NOT NULL,
  "head_removed" BOOLEAN NOT NULL,
  "deleted_at" DATETIME NOT NULL,
  PRIMARY KEY ("tenant_id")
);
CREATE INDEX "deleted_tenants_head_removed_idx" ON "deleted_tenants" ("head_removed");

CREATE TABLE "api_tokens" (
  "token_id" TEXT NOT NULL,
  "name" TEXT NOT NULL,
  "role" TEXT NOT NULL,
  "tenant_id" TEXT NULL,
  "hash" TEXT NOT NULL,
  "created_by" TEXT NOT NULL,
  "created_at" DATETIME NOT NULL,
  "expires_at" DATETIME NULL,
  "revoked_at" DATETIME NULL,
  "last_used_at" DATETIME NULL,
  PRIMARY KEY ("token_id"),
  CONSTRAINT "api_tokens_hash_key" UNIQUE ("hash"),
  CONSTRAINT "api_tokens_tenant_id_fkey" FOREIGN KEY ("tenant_id") REFERENCES "tenants" ("tenant_id") ON DELETE CASCADE
);
CREATE INDEX "api_tokens_tenant_id_idx" ON "api_tokens" ("tenant_id");

CREATE TABLE "admin_audit" (
  "event_id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  "at" DATETIME NOT NULL,
  "tenant_id" TEXT NOT NULL,
  "actor" TEXT NOT NULL,
  "action" TEXT NOT NULL,
  "target" TEXT NOT NULL,
  "before" JSONB NULL,
  "after" JSONB NULL,
  "version" INTEGER NULL,
  "request_id" TEXT NOT NULL
);
CREATE INDEX "admin_audit_tenant_id_event_id_idx" ON "admin_audit" ("tenant_id", "event_id");
