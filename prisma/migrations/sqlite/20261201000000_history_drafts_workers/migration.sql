ALTER TABLE "releases" ADD COLUMN "added" INTEGER NOT NULL DEFAULT 0;
ALTER TABLE "releases" ADD COLUMN "changed" INTEGER NOT NULL DEFAULT 0;
ALTER TABLE "releases" ADD COLUMN "removed" INTEGER NOT NULL DEFAULT 0;
ALTER TABLE "releases" ADD COLUMN "restores" INTEGER NULL;
ALTER TABLE "deleted_tenants" ADD COLUMN "swept" BOOLEAN NOT NULL DEFAULT false;

CREATE TABLE "blob_owners" (
  "sha256" TEXT NOT NULL,
  "tenant_id" TEXT NOT NULL,
  PRIMARY KEY ("sha256", "tenant_id"),
  CONSTRAINT "blob_owners_tenant_id_fkey" FOREIGN KEY ("tenant_id") REFERENCES "tenants" ("tenant_id") ON DELETE CASCADE
);
CREATE INDEX "blob_owners_tenant_id_idx" ON "blob_owners" ("tenant_id");

CREATE TABLE "drafts" (
  "tenant_id" TEXT NOT NULL,
  "name" TEXT NOT NULL,
  "message" TEXT NOT NULL,
  "author" TEXT NOT NULL,
  "base_version" INTEGER NOT NULL,
  "changes" INTEGER NOT NULL,
  "created_at" DATETIME NOT NULL,
  "updated_at" DATETIME NOT NULL,
  "expires_at" DATETIME NOT NULL,
  PRIMARY KEY ("tenant_id", "name"),
  CONSTRAINT "drafts_tenant_id_fkey" FOREIGN KEY ("tenant_id") REFERENCES "tenants" ("tenant_id") ON DELETE CASCADE
);
CREATE INDEX "drafts_expires_at_idx" ON "drafts" ("expires_at");

CREATE TABLE "draft_changes" (
  "tenant_id" TEXT NOT NULL,
  "draft" TEXT NOT NULL,
  "family" TEXT NOT NULL,
  "name" TEXT NOT NULL,
  "object" JSONB NULL,
  "base" TEXT NULL,
  "revision" INTEGER NOT NULL,
  "updated_at" DATETIME NOT NULL,
  PRIMARY KEY ("tenant_id", "draft", "family", "name"),
  CONSTRAINT "draft_changes_tenant_id_draft_fkey" FOREIGN KEY ("tenant_id","draft") REFERENCES "drafts" ("tenant_id","name") ON DELETE CASCADE
);

CREATE TABLE "workers_seen" (
  "id" TEXT NOT NULL,
  "record" JSONB NOT NULL,
  "first_seen_at" DATETIME NOT NULL,
  "last_seen_at" DATETIME NOT NULL,
  PRIMARY KEY ("id")
);
CREATE INDEX "workers_seen_last_seen_at_idx" ON "workers_seen" ("last_seen_at");

-- What the releases that are there name.
INSERT INTO "blob_owners" ("sha256", "tenant_id")
SELECT DISTINCT "blob"."value", "releases"."tenant_id" FROM "releases",
  json_each("releases"."manifest", '$.sections') AS "section", json_each("section"."value", '$.blobs') AS "blob";
