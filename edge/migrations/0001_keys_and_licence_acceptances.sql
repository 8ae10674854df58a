CREATE TABLE keys (
  id TEXT PRIMARY KEY NOT NULL,
  hash TEXT NOT NULL UNIQUE,
  label TEXT NOT NULL,
  owner TEXT NOT NULL,
  institution TEXT NOT NULL,
  purpose TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER
);
CREATE INDEX keys_created_at ON keys (created_at);

CREATE TABLE licence_acceptances (
  id TEXT PRIMARY KEY NOT NULL,
  key_id TEXT NOT NULL REFERENCES keys (id),
  profile TEXT NOT NULL,
  version TEXT NOT NULL,
  accepted_by TEXT NOT NULL,
  purpose TEXT NOT NULL,
  institution TEXT NOT NULL,
  accepted_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX licence_acceptances_once ON licence_acceptances (key_id, profile, version);
