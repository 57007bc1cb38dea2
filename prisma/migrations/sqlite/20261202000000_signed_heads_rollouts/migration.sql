ALTER TABLE "tenants" ADD COLUMN "stable_version" INTEGER NOT NULL DEFAULT 0;
ALTER TABLE "tenants" ADD COLUMN "seq" BIGINT NOT NULL DEFAULT 0;
ALTER TABLE "tenants" ADD COLUMN "rollout_id" TEXT NULL;
ALTER TABLE "tenants" ADD COLUMN "placement" JSONB NULL;
ALTER TABLE "tenants" ADD COLUMN "leaving" JSONB NULL;
ALTER TABLE "tenants" ADD COLUMN "moved_at" DATETIME NULL;
ALTER TABLE "deleted_tenants" ADD COLUMN "seq" BIGINT NOT NULL DEFAULT 0;
ALTER TABLE "deleted_tenants" ADD COLUMN "manifest" TEXT NOT NULL DEFAULT '0000000000000000000000000000000000000000000000000000000000000000';

-- The heads that are there are signed anew, as their first ones.
UPDATE "tenants" SET "stable_version" = "version", "seq" = "version";
UPDATE "deleted_tenants" SET "seq" = "version" + 1;

CREATE TABLE "pending_heads" (
  "tenant_id" TEXT NOT NULL,
  "seq" BIGINT NOT NULL,
  PRIMARY KEY ("tenant_id"),
  CONSTRAINT "pending_heads_tenant_id_fkey" FOREIGN KEY ("tenant_id") REFERENCES "tenants" ("tenant_id") ON DELETE CASCADE
);

CREATE TABLE "rollouts" (
  "rollout_id" TEXT NOT NULL,
  "tenant_id" TEXT NOT NULL,
  "version" INTEGER NOT NULL,
  "stable_version" INTEGER NOT NULL,
  "state" TEXT NOT NULL,
  "phase" TEXT NOT NULL,
  "step" INTEGER NOT NULL,
  "steps" JSONB NOT NULL,
  "bake_seconds" INTEGER NOT NULL,
  "halt_on" JSONB NOT NULL,
  "reason" TEXT NOT NULL,
  "step_at" DATETIME NOT NULL,
  "bake_until" DATETIME NULL,
  "members" JSONB NOT NULL,
  "baseline" JSONB NULL,
  "changes" INTEGER NOT NULL,
  "author" TEXT NOT NULL,
  "message" TEXT NOT NULL,
  "created_at" DATETIME NOT NULL,
  "updated_at" DATETIME NOT NULL,
  "lease_owner" TEXT NOT NULL,
  "lease_until" DATETIME NOT NULL,
  PRIMARY KEY ("rollout_id"),
  CONSTRAINT "rollouts_tenant_id_fkey" FOREIGN KEY ("tenant_id") REFERENCES "tenants" ("tenant_id") ON DELETE CASCADE
);
CREATE INDEX "rollouts_tenant_id_version_idx" ON "rollouts" ("tenant_id", "version");
CREATE INDEX "rollouts_state_idx" ON "rollouts" ("state");

CREATE TABLE "rollout_events" (
  "event_id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  "rollout_id" TEXT NOT NULL,
  "at" DATETIME NOT NULL,
  "kind" TEXT NOT NULL,
  "text" TEXT NOT NULL,
  "actor" TEXT NOT NULL,
  "details" JSONB NULL,
  CONSTRAINT "rollout_events_rollout_id_fkey" FOREIGN KEY ("rollout_id") REFERENCES "rollouts" ("rollout_id") ON DELETE CASCADE
);
CREATE INDEX "rollout_events_rollout_id_event_id_idx" ON "rollout_events" ("rollout_id", "event_id");
