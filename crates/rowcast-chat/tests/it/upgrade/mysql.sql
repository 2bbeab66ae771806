-- The chat's tables as its first version has made them (steps 0 and 1).
CREATE TABLE `chat_migrations` (
  `step` bigint NOT NULL,
  `at` datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (`step`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE `chat_accounts` (
  `user_id` varchar(36) NOT NULL,
  `email` varchar(254) NOT NULL,
  `password_hash` varchar(200) NOT NULL,
  `verified_at` datetime(6) NULL,
  `link` varchar(36) NOT NULL,
  `created_at` datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (`user_id`),
  UNIQUE KEY (`email`),
  UNIQUE KEY (`link`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE `chat_codes` (
  `user_id` varchar(36) NOT NULL,
  `purpose` varchar(20) NOT NULL,
  `code_hash` varchar(64) NOT NULL,
  `expires_at` bigint NOT NULL,
  `tries` bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (`user_id`, `purpose`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE `chat_profiles` (
  `id` varchar(36) NOT NULL,
  `name` varchar(80) NOT NULL,
  `about` varchar(200) NOT NULL DEFAULT (''),
  `picture` varchar(36) NULL,
  `joined_at` datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (`id`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE `chat_seen` (
  `user_id` varchar(36) NOT NULL,
  `seen_at` datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (`user_id`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE `chat_contacts` (
  `owner` varchar(36) NOT NULL,
  `contact` varchar(36) NOT NULL,
  `state` varchar(10) NOT NULL,
  `requested_by` varchar(36) NULL,
  `before` varchar(10) NULL,
  `created_at` datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  `changed_at` datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (`owner`, `contact`),
  KEY (`contact`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE `chat_rooms` (
  `id` varchar(36) NOT NULL,
  `kind` varchar(10) NOT NULL,
  `name` varchar(80) NULL,
  `picture` varchar(36) NULL,
  `created_by` varchar(36) NOT NULL,
  `created_at` datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  `last_id` bigint NOT NULL DEFAULT 0,
  `last_at` datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (`id`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE `chat_members` (
  `room` varchar(36) NOT NULL,
  `user_id` varchar(36) NOT NULL,
  `role` varchar(10) NOT NULL,
  `name` varchar(80) NOT NULL,
  `picture` varchar(36) NULL,
  `joined_at` datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (`room`, `user_id`),
  KEY (`user_id`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE `chat_receipts` (
  `room` varchar(36) NOT NULL,
  `user_id` varchar(36) NOT NULL,
  `delivered` bigint NOT NULL DEFAULT 0,
  `read` bigint NOT NULL DEFAULT 0,
  `muted` boolean NOT NULL DEFAULT FALSE,
  PRIMARY KEY (`room`, `user_id`),
  KEY (`user_id`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE `chat_messages` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `room` varchar(36) NOT NULL,
  `sender` varchar(36) NOT NULL,
  `nonce` varchar(36) NOT NULL,
  `kind` varchar(10) NOT NULL,
  `body` longtext NOT NULL,
  `reply_to` bigint NULL,
  `file` varchar(36) NULL,
  `created_at` datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  `edited_at` datetime(6) NULL,
  `deleted_at` datetime(6) NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY (`sender`, `nonce`),
  KEY (`room`, `id`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE `chat_reactions` (
  `message` bigint NOT NULL,
  `user_id` varchar(36) NOT NULL,
  `emoji` varchar(32) NOT NULL,
  `room` varchar(36) NOT NULL,
  `created_at` datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (`message`, `user_id`, `emoji`),
  KEY (`room`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE `chat_files` (
  `id` varchar(36) NOT NULL,
  `owner` varchar(36) NOT NULL,
  `room` varchar(36) NULL,
  `name` varchar(255) NOT NULL,
  `type` varchar(100) NOT NULL,
  `bytes` bigint NOT NULL,
  `width` bigint NULL,
  `height` bigint NULL,
  `thumbnail` boolean NOT NULL DEFAULT FALSE,
  `created_at` datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (`id`),
  KEY (`room`),
  KEY (`owner`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;;
