CREATE TABLE `tenants` (
  `tenant_id` VARCHAR(63) NOT NULL,
  `tenant_name` VARCHAR(255) NOT NULL,
  `status` ENUM('active', 'inactive', 'suspended') NOT NULL DEFAULT 'active',
  `resource_limits` JSON NOT NULL,
  `metadata` JSON NOT NULL,
  `changes` INTEGER NOT NULL,
  `revision` INTEGER NOT NULL,
  `config_revision` INTEGER NOT NULL,
  `version` INTEGER NOT NULL,
  `created_at` DATETIME(3) NOT NULL,
  `updated_at` DATETIME(3) NOT NULL,
  PRIMARY KEY (`tenant_id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `resources` (
  `tenant_id` VARCHAR(63) NOT NULL,
  `family` VARCHAR(32) NOT NULL,
  `name` VARCHAR(63) NOT NULL,
  `type` VARCHAR(63) NOT NULL,
  `enabled` BOOLEAN NOT NULL,
  `config` JSON NOT NULL,
  `revision` INTEGER NOT NULL,
  `created_at` DATETIME(3) NOT NULL,
  `updated_at` DATETIME(3) NOT NULL,
  PRIMARY KEY (`tenant_id`, `family`, `name`),
  CONSTRAINT `resources_tenant_id_fkey` FOREIGN KEY (`tenant_id`) REFERENCES `tenants` (`tenant_id`) ON DELETE CASCADE
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `users` (
  `tenant_id` VARCHAR(63) NOT NULL,
  `username` VARCHAR(255) NOT NULL,
  `user_group` VARCHAR(63) NOT NULL,
  `blocked` BOOLEAN NOT NULL,
  `credential` VARCHAR(16) NOT NULL,
  `config` JSON NOT NULL,
  `revision` INTEGER NOT NULL,
  `created_at` DATETIME(3) NOT NULL,
  `updated_at` DATETIME(3) NOT NULL,
  PRIMARY KEY (`tenant_id`, `username`),
  CONSTRAINT `users_tenant_id_fkey` FOREIGN KEY (`tenant_id`) REFERENCES `tenants` (`tenant_id`) ON DELETE CASCADE
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX `users_tenant_id_user_group_username_idx` ON `users` (`tenant_id`, `user_group`, `username`);

CREATE TABLE `releases` (
  `tenant_id` VARCHAR(63) NOT NULL,
  `version` INTEGER NOT NULL,
  `state` ENUM('pending', 'published', 'superseded') NOT NULL,
  `checksum` CHAR(64) NOT NULL,
  `manifest` LONGTEXT NOT NULL,
  `author` VARCHAR(255) NOT NULL,
  `message` VARCHAR(1024) NOT NULL,
  `bytes` INTEGER NOT NULL,
  `created_at` DATETIME(3) NOT NULL,
  `published_at` DATETIME(3) NULL,
  PRIMARY KEY (`tenant_id`, `version`),
  CONSTRAINT `releases_tenant_id_fkey` FOREIGN KEY (`tenant_id`) REFERENCES `tenants` (`tenant_id`) ON DELETE CASCADE
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX `releases_state_tenant_id_idx` ON `releases` (`state`, `tenant_id`);

CREATE TABLE `blobs` (
  `sha256` CHAR(64) NOT NULL,
  `body` MEDIUMBLOB NOT NULL,
  `created_at` DATETIME(3) NOT NULL,
  PRIMARY KEY (`sha256`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `listen_addresses` (
  `port` INTEGER NOT NULL,
  `host` VARCHAR(45) NOT NULL,
  `tenant_id` VARCHAR(63) NOT NULL,
  `server` VARCHAR(63) NOT NULL,
  PRIMARY KEY (`port`, `host`),
  CONSTRAINT `listen_addresses_tenant_id_fkey` FOREIGN KEY (`tenant_id`) REFERENCES `tenants` (`tenant_id`) ON DELETE CASCADE
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX `listen_addresses_tenant_id_idx` ON `listen_addresses` (`tenant_id`);

CREATE TABLE `listen_ports` (
  `port` INTEGER NOT NULL,
  PRIMARY KEY (`port`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE `deleted_tenants` (
  `tenant_id` VARCHAR(63) NOT NULL,
  `changes` INTEGER NOT NULL,
  `version` INTEGER NOT NULL,
  `head_removed` BOOLEAN NOT NULL,
  `deleted_at` DATETIME(3) NOT NULL,
  PRIMARY KEY (`tenant_id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX `deleted_tenants_head_removed_idx` ON `deleted_tenants` (`head_removed`);

CREATE TABLE `api_tokens` (
  `token_id` VARCHAR(32) NOT NULL,
  `name` VARCHAR(255) NOT NULL,
  `role` ENUM('admin', 'tenant', 'viewer') NOT NULL,
  `tenant_id` VARCHAR(63) NULL,
  `hash` CHAR(64) NOT NULL,
  `created_by` VARCHAR(255) NOT NULL,
  `created_at` DATETIME(3) NOT NULL,
  `expires_at` DATETIME(3) NULL,
  `revoked_at` DATETIME(3) NULL,
  `last_used_at` DATETIME(3) NULL,
  PRIMARY KEY (`token_id`),
  CONSTRAINT `api_tokens_hash_key` UNIQUE (`hash`),
  CONSTRAINT `api_tokens_tenant_id_fkey` FOREIGN KEY (`tenant_id`) REFERENCES `tenants` (`tenant_id`) ON DELETE CASCADE
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX `api_tokens_tenant_id_idx` ON `api_tokens` (`tenant_id`);

CREATE TABLE `admin_audit` (
  `event_id` BIGINT NOT NULL AUTO_INCREMENT,
  `at` DATETIME(3) NOT NULL,
  `tenant_id` VARCHAR(63) NOT NULL,
  `actor` VARCHAR(255) NOT NULL,
  `action` VARCHAR(64) NOT NULL,
  `target` VARCHAR(512) NOT NULL,
  `before` JSON NULL,
  `after` JSON NULL,
  `version` INTEGER NULL,
  `request_id` VARCHAR(64) NOT NULL,
  PRIMARY KEY (`event_id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX `admin_audit_tenant_id_event_id_idx` ON `admin_audit` (`tenant_id`, `event_id`);
