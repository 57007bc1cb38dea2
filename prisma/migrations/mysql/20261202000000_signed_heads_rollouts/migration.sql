ALTER TABLE `tenants` ADD COLUMN `stable_version` INTEGER NOT NULL DEFAULT 0;
ALTER TABLE `tenants` ADD COLUMN `seq` BIGINT NOT NULL DEFAULT 0;
ALTER TABLE `tenants` ADD COLUMN `rollout_id` VARCHAR(32) NULL;
ALTER TABLE `tenants` ADD COLUMN `placement` JSON NULL;
ALTER TABLE `tenants` ADD COLUMN `leaving` JSON NULL;
ALTER TABLE `tenants` ADD COLUMN `moved_at` DATETIME(3) NULL;
ALTER TABLE `deleted_tenants` ADD COLUMN `seq` BIGINT NOT NULL DEFAULT 0;
ALTER TABLE `deleted_tenants` ADD COLUMN `manifest` CHAR(64) NOT NULL DEFAULT '0000000000000000000000000000000000000000000000000000000000000000';
ALTER TABLE `releases` MODIFY COLUMN `state` ENUM('pending', 'published', 'superseded', 'held') NOT NULL;

-- The heads that are there are signed anew, as their first ones.
UPDATE `tenants` SET `stable_version` = `version`, `seq` = `version`;
UPDATE `deleted_tenants` SET `seq` = `version` + 1;

CREATE TABLE `pending_heads` (
  `tenant_id` VARCHAR(63) NOT NULL,
  `seq` BIGINT NOT NULL,
  PRIMARY KEY (`tenant_id`),
  CONSTRAINT `pending_heads_tenant_id_fkey` FOREIGN KEY (`tenant_id`) REFERENCES `tenants` (`tenant_id`) ON DELETE CASCADE
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `rollouts` (
  `rollout_id` VARCHAR(32) NOT NULL,
  `tenant_id` VARCHAR(63) NOT NULL,
  `version` INTEGER NOT NULL,
  `stable_version` INTEGER NOT NULL,
  `state` ENUM('running', 'paused', 'promoted', 'halted', 'aborted') NOT NULL,
  `phase` ENUM('entering', 'baking') NOT NULL,
  `step` INTEGER NOT NULL,
  `steps` JSON NOT NULL,
  `bake_seconds` INTEGER NOT NULL,
  `halt_on` JSON NOT NULL,
  `reason` VARCHAR(1024) NOT NULL,
  `step_at` DATETIME(3) NOT NULL,
  `bake_until` DATETIME(3) NULL,
  `members` JSON NOT NULL,
  `baseline` JSON NULL,
  `changes` INTEGER NOT NULL,
  `author` VARCHAR(255) NOT NULL,
  `message` VARCHAR(1024) NOT NULL,
  `created_at` DATETIME(3) NOT NULL,
  `updated_at` DATETIME(3) NOT NULL,
  `lease_owner` VARCHAR(64) NOT NULL,
  `lease_until` DATETIME(3) NOT NULL,
  PRIMARY KEY (`rollout_id`),
  CONSTRAINT `rollouts_tenant_id_fkey` FOREIGN KEY (`tenant_id`) REFERENCES `tenants` (`tenant_id`) ON DELETE CASCADE
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX `rollouts_tenant_id_version_idx` ON `rollouts` (`tenant_id`, `version`);
CREATE INDEX `rollouts_state_idx` ON `rollouts` (`state`);

CREATE TABLE `rollout_events` (
  `event_id` BIGINT NOT NULL AUTO_INCREMENT,
  `rollout_id` VARCHAR(32) NOT NULL,
  `at` DATETIME(3) NOT NULL,
  `kind` VARCHAR(32) NOT NULL,
  `text` VARCHAR(1024) NOT NULL,
  `actor` VARCHAR(255) NOT NULL,
  `details` JSON NULL,
  PRIMARY KEY (`event_id`),
  CONSTRAINT `rollout_events_rollout_id_fkey` FOREIGN KEY (`rollout_id`) REFERENCES `rollouts` (`rollout_id`) ON DELETE CASCADE
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX `rollout_events_rollout_id_event_id_idx` ON `rollout_events` (`rollout_id`, `event_id`);
