ALTER TABLE `releases` ADD COLUMN `added` INTEGER NOT NULL DEFAULT 0;
ALTER TABLE `releases` ADD COLUMN `changed` INTEGER NOT NULL DEFAULT 0;
ALTER TABLE `releases` ADD COLUMN `removed` INTEGER NOT NULL DEFAULT 0;
ALTER TABLE `releases` ADD COLUMN `restores` INTEGER NULL;
ALTER TABLE `deleted_tenants` ADD COLUMN `swept` BOOLEAN NOT NULL DEFAULT false;

CREATE TABLE `blob_owners` (
  `sha256` CHAR(64) NOT NULL,
  `tenant_id` VARCHAR(63) NOT NULL,
  PRIMARY KEY (`sha256`, `tenant_id`),
  CONSTRAINT `blob_owners_tenant_id_fkey` FOREIGN KEY (`tenant_id`) REFERENCES `tenants` (`tenant_id`) ON DELETE CASCADE
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX `blob_owners_tenant_id_idx` ON `blob_owners` (`tenant_id`);

CREATE TABLE `drafts` (
  `tenant_id` VARCHAR(63) NOT NULL,
  `name` VARCHAR(63) NOT NULL,
  `message` VARCHAR(1024) NOT NULL,
  `author` VARCHAR(255) NOT NULL,
  `base_version` INTEGER NOT NULL,
  `changes` INTEGER NOT NULL,
  `created_at` DATETIME(3) NOT NULL,
  `updated_at` DATETIME(3) NOT NULL,
  `expires_at` DATETIME(3) NOT NULL,
  PRIMARY KEY (`tenant_id`, `name`),
  CONSTRAINT `drafts_tenant_id_fkey` FOREIGN KEY (`tenant_id`) REFERENCES `tenants` (`tenant_id`) ON DELETE CASCADE
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX `drafts_expires_at_idx` ON `drafts` (`expires_at`);

CREATE TABLE `draft_changes` (
  `tenant_id` VARCHAR(63) NOT NULL,
  `draft` VARCHAR(63) NOT NULL,
  `family` VARCHAR(32) NOT NULL,
  `name` VARCHAR(255) NOT NULL,
  `object` JSON NULL,
  `base` CHAR(64) NULL,
  `revision` INTEGER NOT NULL,
  `updated_at` DATETIME(3) NOT NULL,
  PRIMARY KEY (`tenant_id`, `draft`, `family`, `name`),
  CONSTRAINT `draft_changes_tenant_id_draft_fkey` FOREIGN KEY (`tenant_id`,`draft`) REFERENCES `drafts` (`tenant_id`,`name`) ON DELETE CASCADE
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `workers_seen` (
  `id` VARCHAR(128) NOT NULL,
  `record` JSON NOT NULL,
  `first_seen_at` DATETIME(3) NOT NULL,
  `last_seen_at` DATETIME(3) NOT NULL,
  PRIMARY KEY (`id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX `workers_seen_last_seen_at_idx` ON `workers_seen` (`last_seen_at`);

-- What the releases that are there name.
INSERT INTO `blob_owners` (`sha256`, `tenant_id`)
SELECT DISTINCT `named`.`sha256`, `releases`.`tenant_id` FROM `releases`,
  JSON_TABLE(`releases`.`manifest`, '$.sections[*].blobs[*]' COLUMNS (`sha256` CHAR(64) PATH '$')) AS `named`;
