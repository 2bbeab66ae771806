-- The chat's tables as its first version has made them (steps 0 and 1).
CREATE TABLE "chat_migrations" (
  "step" INTEGER NOT NULL,
  "at" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  PRIMARY KEY ("step")
);
CREATE TABLE "chat_accounts" (
  "user_id" VARCHAR(36) NOT NULL CHECK (length("user_id") <= 36),
  "email" VARCHAR(254) NOT NULL CHECK (length("email") <= 254),
  "password_hash" VARCHAR(200) NOT NULL CHECK (length("password_hash") <= 200),
  "verified_at" TEXT,
  "link" VARCHAR(36) NOT NULL CHECK (length("link") <= 36),
  "created_at" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  PRIMARY KEY ("user_id"),
  UNIQUE ("email"),
  UNIQUE ("link")
);
CREATE TABLE "chat_codes" (
  "user_id" VARCHAR(36) NOT NULL CHECK (length("user_id") <= 36),
  "purpose" VARCHAR(20) NOT NULL CHECK (length("purpose") <= 20),
  "code_hash" VARCHAR(64) NOT NULL CHECK (length("code_hash") <= 64),
  "expires_at" INTEGER NOT NULL,
  "tries" INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY ("user_id", "purpose")
);
CREATE TABLE "chat_profiles" (
  "id" VARCHAR(36) NOT NULL CHECK (length("id") <= 36),
  "name" VARCHAR(80) NOT NULL CHECK (length("name") <= 80),
  "about" VARCHAR(200) NOT NULL DEFAULT '' CHECK (length("about") <= 200),
  "picture" VARCHAR(36) CHECK (length("picture") <= 36),
  "joined_at" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  PRIMARY KEY ("id")
);
CREATE TABLE "chat_seen" (
  "user_id" VARCHAR(36) NOT NULL CHECK (length("user_id") <= 36),
  "seen_at" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  PRIMARY KEY ("user_id")
);
CREATE TABLE "chat_contacts" (
  "owner" VARCHAR(36) NOT NULL CHECK (length("owner") <= 36),
  "contact" VARCHAR(36) NOT NULL CHECK (length("contact") <= 36),
  "state" VARCHAR(10) NOT NULL CHECK (length("state") <= 10),
  "requested_by" VARCHAR(36) CHECK (length("requested_by") <= 36),
  "before" VARCHAR(10) CHECK (length("before") <= 10),
  "created_at" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  "changed_at" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  PRIMARY KEY ("owner", "contact")
);
CREATE INDEX "chat_contacts_contact_idx" ON "chat_contacts" ("contact");
CREATE TABLE "chat_rooms" (
  "id" VARCHAR(36) NOT NULL CHECK (length("id") <= 36),
  "kind" VARCHAR(10) NOT NULL CHECK (length("kind") <= 10),
  "name" VARCHAR(80) CHECK (length("name") <= 80),
  "picture" VARCHAR(36) CHECK (length("picture") <= 36),
  "created_by" VARCHAR(36) NOT NULL CHECK (length("created_by") <= 36),
  "created_at" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  "last_id" INTEGER NOT NULL DEFAULT 0,
  "last_at" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  PRIMARY KEY ("id")
);
CREATE TABLE "chat_members" (
  "room" VARCHAR(36) NOT NULL CHECK (length("room") <= 36),
  "user_id" VARCHAR(36) NOT NULL CHECK (length("user_id") <= 36),
  "role" VARCHAR(10) NOT NULL CHECK (length("role") <= 10),
  "name" VARCHAR(80) NOT NULL CHECK (length("name") <= 80),
  "picture" VARCHAR(36) CHECK (length("picture") <= 36),
  "joined_at" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  PRIMARY KEY ("room", "user_id")
);
CREATE INDEX "chat_members_user_id_idx" ON "chat_members" ("user_id");
CREATE TABLE "chat_receipts" (
  "room" VARCHAR(36) NOT NULL CHECK (length("room") <= 36),
  "user_id" VARCHAR(36) NOT NULL CHECK (length("user_id") <= 36),
  "delivered" INTEGER NOT NULL DEFAULT 0,
  "read" INTEGER NOT NULL DEFAULT 0,
  "muted" BOOLEAN NOT NULL DEFAULT 0 CHECK ("muted" IN (0, 1)),
  PRIMARY KEY ("room", "user_id")
);
CREATE INDEX "chat_receipts_user_id_idx" ON "chat_receipts" ("user_id");
CREATE TABLE "chat_messages" (
  "id" INTEGER PRIMARY KEY,
  "room" VARCHAR(36) NOT NULL CHECK (length("room") <= 36),
  "sender" VARCHAR(36) NOT NULL CHECK (length("sender") <= 36),
  "nonce" VARCHAR(36) NOT NULL CHECK (length("nonce") <= 36),
  "kind" VARCHAR(10) NOT NULL CHECK (length("kind") <= 10),
  "body" TEXT NOT NULL,
  "reply_to" INTEGER,
  "file" VARCHAR(36) CHECK (length("file") <= 36),
  "created_at" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  "edited_at" TEXT,
  "deleted_at" TEXT,
  UNIQUE ("sender", "nonce")
);
CREATE INDEX "chat_messages_room_id_idx" ON "chat_messages" ("room", "id");
CREATE TABLE "chat_reactions" (
  "message" INTEGER NOT NULL,
  "user_id" VARCHAR(36) NOT NULL CHECK (length("user_id") <= 36),
  "emoji" VARCHAR(32) NOT NULL CHECK (length("emoji") <= 32),
  "room" VARCHAR(36) NOT NULL CHECK (length("room") <= 36),
  "created_at" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  PRIMARY KEY ("message", "user_id", "emoji")
);
CREATE INDEX "chat_reactions_room_idx" ON "chat_reactions" ("room");
CREATE TABLE "chat_files" (
  "id" VARCHAR(36) NOT NULL CHECK (length("id") <= 36),
  "owner" VARCHAR(36) NOT NULL CHECK (length("owner") <= 36),
  "room" VARCHAR(36) CHECK (length("room") <= 36),
  "name" VARCHAR(255) NOT NULL CHECK (length("name") <= 255),
  "type" VARCHAR(100) NOT NULL CHECK (length("type") <= 100),
  "bytes" INTEGER NOT NULL,
  "width" INTEGER,
  "height" INTEGER,
  "thumbnail" BOOLEAN NOT NULL DEFAULT 0 CHECK ("thumbnail" IN (0, 1)),
  "created_at" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  PRIMARY KEY ("id")
);
CREATE INDEX "chat_files_room_idx" ON "chat_files" ("room");
CREATE INDEX "chat_files_owner_idx" ON "chat_files" ("owner");;
