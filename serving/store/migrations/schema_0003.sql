-- The store of one deployment, for SQLite; schema.postgresql.sql says the same there. What must never happen is refused here as
-- well as in the code: a state without its audit record, an edge that does not exist,
-- a second active handoff, a rewritten log.

-- --- the audit log: append-only ------------------------------------------------------

CREATE TABLE audit_event (
  seq  INTEGER PRIMARY KEY CHECK (seq >= 0),
  body BLOB NOT NULL,                          -- canonical bytes, hashed as they stand
  leaf BLOB NOT NULL CHECK (length(leaf) = 32)
);
-- Complete subtrees above the leaves; level 0 is audit_event.leaf.
CREATE TABLE audit_node (
  level INTEGER NOT NULL CHECK (level > 0),
  idx   INTEGER NOT NULL CHECK (idx >= 0),
  hash  BLOB NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (level, idx)
) WITHOUT ROWID;
CREATE TRIGGER audit_event_in_order BEFORE INSERT ON audit_event
WHEN NEW.seq <> (SELECT coalesce(max(seq), -1) + 1 FROM audit_event)
BEGIN SELECT RAISE(ABORT, 'audit_event: seq must follow without a gap'); END;

-- --- the tasks and their logs --------------------------------------------------------

CREATE TABLE task (
  task_id    TEXT PRIMARY KEY CHECK (task_id <> ''),
  owner_kind TEXT NOT NULL CHECK (owner_kind IN ('agent', 'queue', 'person', 'nobody')),
  owner_id   TEXT NOT NULL,
  epoch      INTEGER NOT NULL CHECK (epoch >= 1),
  facts      BLOB NOT NULL,                    -- JSON: what task_started said
  audit_seq  INTEGER NOT NULL REFERENCES audit_event (seq)
);
CREATE TABLE decision (
  decision_id TEXT PRIMARY KEY,
  task_id     TEXT NOT NULL REFERENCES task (task_id),
  position    INTEGER NOT NULL CHECK (position >= 0),  -- events the decision had seen
  action      TEXT NOT NULL CHECK (action IN ('CONTINUE', 'ESCALATE', 'SAFE_STOP')),
  effective   INTEGER NOT NULL CHECK (effective IN (0, 1)),
  selected    INTEGER NOT NULL CHECK (selected IN (0, 1)),  -- by an audit stream
  body        BLOB NOT NULL,                   -- JSON: decision and inputs, to replay it
  salt        BLOB NOT NULL CHECK (length(salt) = 32),
  audit_seq   INTEGER NOT NULL REFERENCES audit_event (seq)
);
CREATE INDEX decision_of_task ON decision (task_id, position);
CREATE INDEX decision_selected ON decision (task_id) WHERE selected = 1;
CREATE TABLE event (
  n           INTEGER PRIMARY KEY,             -- order of arrival, over all tasks
  task_id     TEXT NOT NULL REFERENCES task (task_id),
  seq         INTEGER NOT NULL CHECK (seq >= 0),
  event_id    TEXT NOT NULL CHECK (event_id <> ''),
  kind        TEXT NOT NULL,
  digest      TEXT NOT NULL CHECK (length(digest) = 64),
  body        BLOB NOT NULL,                   -- canonical wire form
  salt        BLOB NOT NULL CHECK (length(salt) = 32),
  decision_id TEXT REFERENCES decision (decision_id),
  audit_seq   INTEGER NOT NULL REFERENCES audit_event (seq),
  UNIQUE (task_id, seq),
  UNIQUE (task_id, event_id)
);
-- What labels are made of, a small part of all events.
CREATE INDEX event_labels ON event (task_id, seq)
  WHERE kind IN ('audit_verdict', 'complaint', 'reopened', 'resolved', 'verdict');
-- What a call was told, so that the same call again is told the same.
CREATE TABLE answer (
  audit_seq INTEGER PRIMARY KEY REFERENCES audit_event (seq),
  body      BLOB NOT NULL
);

-- --- handovers -----------------------------------------------------------------------

CREATE TABLE handoff (
  handoff_id  TEXT PRIMARY KEY,
  task_id     TEXT NOT NULL REFERENCES task (task_id),
  epoch       INTEGER NOT NULL,
  decision_id TEXT NOT NULL REFERENCES decision (decision_id),
  queue       TEXT NOT NULL,
  status      TEXT NOT NULL
              CHECK (status IN ('QUEUED', 'CLAIMED', 'RESOLVED', 'RETURNED')),
  urgency     INTEGER NOT NULL,                -- rank of the priority, 0 the most urgent
  queued_at   TEXT NOT NULL,
  chain       BLOB NOT NULL,                   -- JSON list: queues still to take over
  acknowledge_by TEXT NOT NULL,
  resolve_by  TEXT NOT NULL,
  climbs      INTEGER NOT NULL DEFAULT 0 CHECK (climbs >= 0),  -- deadlines missed
  claimed_by  TEXT,
  claimed_at  TEXT,
  lease_until TEXT,                            -- a claim is a lease: it ends by itself
  body        BLOB NOT NULL,                   -- JSON: what never changes
  salt        BLOB NOT NULL CHECK (length(salt) = 32),
  audit_seq   INTEGER NOT NULL REFERENCES audit_event (seq),
  UNIQUE (task_id, epoch),
  CHECK ((status = 'QUEUED') = (claimed_by IS NULL)),
  CHECK ((claimed_by IS NULL) = (claimed_at IS NULL)),
  CHECK ((status = 'CLAIMED') = (lease_until IS NOT NULL))
);
CREATE UNIQUE INDEX one_active_handoff ON handoff (task_id)
  WHERE status IN ('QUEUED', 'CLAIMED');
CREATE INDEX handoff_waiting ON handoff (queue, status, queued_at);
CREATE INDEX handoff_changed ON handoff (audit_seq);  -- the last: is a count stale?
CREATE INDEX handoff_listed ON handoff (urgency, queued_at);
CREATE TABLE package (
  handoff_id TEXT PRIMARY KEY REFERENCES handoff (handoff_id),
  digest     TEXT NOT NULL CHECK (length(digest) = 64),
  body       BLOB NOT NULL,                    -- canonical JSON
  salt       BLOB NOT NULL CHECK (length(salt) = 32),
  audit_seq  INTEGER NOT NULL REFERENCES audit_event (seq)
);
CREATE TABLE handoff_history (
  handoff_id TEXT NOT NULL REFERENCES handoff (handoff_id),
  audit_seq  INTEGER NOT NULL REFERENCES audit_event (seq),
  at         TEXT NOT NULL,
  by         TEXT NOT NULL,
  what       TEXT NOT NULL,
  PRIMARY KEY (handoff_id, audit_seq)
);
-- What outside channels must be told of a handoff, in the order of `place` for each.
-- Delivery never decides ownership. `leased_*` say which worker tries just now; they
-- are no part of what is promised, and need no record. Nor is anything tried after
-- `expires_at`: the row is then a dead letter, until somebody has it sent again.
CREATE TABLE outbox (
  outbox_id    TEXT PRIMARY KEY,               -- stable over retries: receivers dedupe
  handoff_id   TEXT NOT NULL REFERENCES handoff (handoff_id),
  channel      TEXT NOT NULL,
  place        INTEGER NOT NULL CHECK (place >= 0),
  kind         TEXT NOT NULL,                  -- opened, claimed, …: verb of the move
  body         BLOB NOT NULL,                  -- JSON: what is told beside the package
  status       TEXT NOT NULL CHECK (status IN ('pending', 'done', 'dead')),
  attempts     INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  refusals     INTEGER NOT NULL DEFAULT 0 CHECK (refusals >= 0),  -- among them
  queued_at    TEXT NOT NULL,
  next_at      TEXT NOT NULL,
  expires_at   TEXT NOT NULL,
  tried_at     TEXT,                           -- end of the last attempt
  fell_back    INTEGER NOT NULL DEFAULT 0 CHECK (fell_back IN (0, 1)),
  remote_id    TEXT,                           -- what the channel calls it
  last_error   TEXT,
  leased_by    TEXT,
  leased_until TEXT,
  audit_seq    INTEGER NOT NULL REFERENCES audit_event (seq),
  UNIQUE (handoff_id, channel, place)
);
CREATE INDEX outbox_due ON outbox (channel, next_at) WHERE status = 'pending';
CREATE INDEX outbox_ending ON outbox (expires_at) WHERE status = 'pending';
CREATE INDEX outbox_unheard ON outbox (channel, queued_at)
  WHERE kind = 'opened' AND status <> 'done' AND fell_back = 0;
CREATE INDEX outbox_open ON outbox (channel, status) WHERE status <> 'done';
CREATE INDEX outbox_listed ON outbox (queued_at);
-- How a channel does, shared by all workers: its circuit breaker.
CREATE TABLE channel (
  channel    TEXT PRIMARY KEY,
  failures   INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),  -- in a row
  open_until TEXT,                             -- no attempt before that
  recovered_at TEXT,                           -- what failed before is due since then
  changed_at TEXT NOT NULL
);
-- A deadline is a row: it outlives the process. Settled means it can no longer pass.
CREATE TABLE timer (
  handoff_id TEXT NOT NULL REFERENCES handoff (handoff_id),
  kind       TEXT NOT NULL CHECK (kind IN ('acknowledge', 'resolve', 'lease')),
  due_at     TEXT NOT NULL,
  settled_at TEXT,
  audit_seq  INTEGER NOT NULL REFERENCES audit_event (seq),
  PRIMARY KEY (handoff_id, kind)
);
CREATE INDEX timer_due ON timer (due_at) WHERE settled_at IS NULL;
-- When handoffs were closed.
CREATE INDEX timer_over ON timer (settled_at) WHERE kind = 'resolve';
-- The one message of each handover to the user, and when it was shown.
CREATE TABLE notice (
  handoff_id TEXT PRIMARY KEY REFERENCES handoff (handoff_id),
  message_id TEXT NOT NULL UNIQUE,
  text       TEXT NOT NULL,
  wait_s     REAL,                             -- what was promised
  said_at    TEXT NOT NULL,
  shown_at   TEXT,                             -- as the host application confirmed
  audit_seq  INTEGER NOT NULL REFERENCES audit_event (seq)
);
CREATE TABLE rating (
  handoff_id TEXT NOT NULL REFERENCES handoff (handoff_id),
  by         TEXT NOT NULL,
  sufficient INTEGER NOT NULL CHECK (sufficient IN (0, 1)),
  missing    BLOB NOT NULL,                    -- JSON list of parts
  note       TEXT NOT NULL DEFAULT '',         -- what else it lacked, in words
  at         TEXT NOT NULL,
  audit_seq  INTEGER NOT NULL REFERENCES audit_event (seq),
  PRIMARY KEY (handoff_id, by)
);

-- --- agents --------------------------------------------------------------------------

-- An agent that said it would go on beating, and until when that is believed.
CREATE TABLE agent_lease (
  task_id    TEXT PRIMARY KEY REFERENCES task (task_id),
  epoch      INTEGER NOT NULL,
  beat_s     REAL NOT NULL CHECK (beat_s > 0),
  due_at     TEXT NOT NULL,
  settled_at TEXT                              -- set once it no longer counts
);
CREATE INDEX agent_lease_due ON agent_lease (due_at) WHERE settled_at IS NULL;
-- What an agent was allowed to do, each token once; the log has it in its order with
-- the handovers.
CREATE TABLE action (
  jti         TEXT PRIMARY KEY,                -- of the token
  task_id     TEXT NOT NULL REFERENCES task (task_id),
  epoch       INTEGER NOT NULL,
  tool        TEXT NOT NULL,
  args_sha256 TEXT NOT NULL CHECK (length(args_sha256) = 64),
  salt        BLOB NOT NULL CHECK (length(salt) = 32),
  audit_seq   INTEGER NOT NULL REFERENCES audit_event (seq)
);
-- What an agent tried, or did, on a task it no longer owned.
CREATE TABLE violation (
  task_id    TEXT NOT NULL REFERENCES task (task_id),
  event_id   TEXT NOT NULL,
  handoff_id TEXT NOT NULL REFERENCES handoff (handoff_id),  -- by which it lost it
  epoch      INTEGER,                          -- the one it named
  kind       TEXT NOT NULL,
  tool       TEXT,
  acted      INTEGER NOT NULL CHECK (acted IN (0, 1)),  -- it did, not only tried
  heard      INTEGER NOT NULL CHECK (heard IN (0, 1)),  -- it got the refusal
  at         TEXT NOT NULL,                    -- as the agent says
  seen_at    TEXT NOT NULL,
  body       BLOB NOT NULL,                    -- canonical wire form of the event
  salt       BLOB NOT NULL CHECK (length(salt) = 32),
  place      INTEGER NOT NULL CHECK (place >= 0),  -- among those of its record
  audit_seq  INTEGER NOT NULL REFERENCES audit_event (seq),
  PRIMARY KEY (task_id, event_id)
);
CREATE INDEX violation_of_handoff ON violation (handoff_id);

-- A transfer that an agent announced and of which no handover came; once an epoch.
CREATE TABLE announcement (
  task_id     TEXT NOT NULL REFERENCES task (task_id),
  epoch       INTEGER NOT NULL CHECK (epoch >= 1),
  decision_id TEXT NOT NULL REFERENCES decision (decision_id),  -- that knew of it
  promises    INTEGER NOT NULL CHECK (promises >= 0),           -- in words
  calls       INTEGER NOT NULL CHECK (calls >= 0),              -- by its own tools
  hands_over  INTEGER NOT NULL CHECK (hands_over IN (0, 1)),    -- we did, then
  seen_at     TEXT NOT NULL,
  audit_seq   INTEGER NOT NULL REFERENCES audit_event (seq),
  PRIMARY KEY (task_id, epoch)
);

-- --- calls ---------------------------------------------------------------------------

-- What a call under an Idempotency-Key was answered, in the transaction of its effect.
CREATE TABLE idempotency (
  scope       TEXT NOT NULL,                   -- method and path
  key         TEXT NOT NULL,
  fingerprint TEXT NOT NULL CHECK (length(fingerprint) = 64),  -- of the payload
  status      INTEGER NOT NULL,
  body        BLOB NOT NULL,
  created_at  TEXT NOT NULL,
  expires_at  TEXT NOT NULL,
  PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_over ON idempotency (expires_at);

-- --- attachments ---------------------------------------------------------------------

-- Their bytes lie in files named by their hash, on the disk before any row names them.
CREATE TABLE attachment (
  sha256     TEXT PRIMARY KEY CHECK (length(sha256) = 64),
  size       INTEGER NOT NULL CHECK (size >= 0),
  stored_at  TEXT NOT NULL,
  used_at    TEXT                              -- first event that named it; NULL: orphan
);
CREATE INDEX attachment_orphan ON attachment (stored_at) WHERE used_at IS NULL;
-- Which events name which files, also such as were never sent.
CREATE TABLE attachment_use (
  sha256  TEXT NOT NULL CHECK (length(sha256) = 64),
  task_id TEXT NOT NULL REFERENCES task (task_id),
  seq     INTEGER NOT NULL,                    -- of the event in its task's log
  PRIMARY KEY (sha256, task_id, seq)
);

-- --- who is there --------------------------------------------------------------------

-- People and host applications that follow a task live. Of the moment, so not audited.
CREATE TABLE presence (
  task_id TEXT NOT NULL REFERENCES task (task_id),
  who     TEXT NOT NULL,
  role    TEXT NOT NULL CHECK (role IN ('user', 'person', 'agent')),
  doing   TEXT NOT NULL DEFAULT '',            -- 'typing', or nothing
  seen_at TEXT NOT NULL,
  PRIMARY KEY (task_id, who)
);
-- Workers, by their own beat.
CREATE TABLE worker (
  worker_id  TEXT PRIMARY KEY,
  started_at TEXT NOT NULL,
  seen_at    TEXT NOT NULL,
  rounds     BLOB NOT NULL                     -- JSON: last good end of each round
);

-- Written, and taken away again, to learn whether there is room for anything.
CREATE TABLE probe (
  one  INTEGER PRIMARY KEY CHECK (one = 1),
  room BLOB NOT NULL
);

-- --- alarms --------------------------------------------------------------------------

-- What monitors found of a model. One that withdraws a certificate does so while it is
-- open: decisions of that model then fall to the safe side.
CREATE TABLE alarm (
  alarm_id   TEXT PRIMARY KEY,
  model      TEXT NOT NULL,                    -- SHA-256 of the bundle; '': rules alone
  code       TEXT NOT NULL,
  segment    TEXT NOT NULL,
  severity   TEXT NOT NULL CHECK (severity IN ('critical', 'serious', 'notice')),
  withdraws  TEXT,                             -- segment of the certificate; '': all
  raised_at  TEXT NOT NULL,
  cleared_at TEXT,
  body       BLOB NOT NULL,                    -- JSON: evidence, since, words
  closing    BLOB,                             -- JSON: who cleared it, and why
  salt       BLOB NOT NULL CHECK (length(salt) = 32),
  audit_seq  INTEGER NOT NULL REFERENCES audit_event (seq),
  CHECK ((cleared_at IS NULL) = (closing IS NULL))
);
CREATE UNIQUE INDEX one_open_alarm ON alarm (model, code, segment)
  WHERE cleared_at IS NULL;
CREATE INDEX alarm_changed ON alarm (audit_seq);
CREATE INDEX alarm_listed ON alarm (raised_at);

-- --- what may change, and how --------------------------------------------------------

CREATE TRIGGER task_ownership BEFORE UPDATE ON task
WHEN NEW.epoch <> OLD.epoch
  + (NEW.owner_kind <> OLD.owner_kind OR NEW.owner_id <> OLD.owner_id)
BEGIN SELECT RAISE(ABORT, 'task: epoch must rise by one with each change of owner'); END;

CREATE TRIGGER action_fenced BEFORE INSERT ON action
WHEN NOT EXISTS (
  SELECT 1 FROM task
  WHERE task_id = NEW.task_id AND epoch = NEW.epoch AND owner_kind = 'agent'
)
BEGIN SELECT RAISE(ABORT, 'action: the agent does not own this task'); END;

CREATE TRIGGER handoff_starts_queued BEFORE INSERT ON handoff
WHEN NEW.status <> 'QUEUED'
BEGIN SELECT RAISE(ABORT, 'handoff: a handoff starts QUEUED'); END;
CREATE TRIGGER handoff_edges BEFORE UPDATE ON handoff
WHEN NEW.status <> OLD.status AND NOT (
  (OLD.status = 'QUEUED' AND NEW.status = 'CLAIMED')
  OR (OLD.status = 'CLAIMED' AND NEW.status IN ('QUEUED', 'RESOLVED', 'RETURNED'))
)
BEGIN SELECT RAISE(ABORT, 'handoff: no such edge between states'); END;
CREATE TRIGGER handoff_terms BEFORE UPDATE OF
  handoff_id, task_id, epoch, decision_id, queued_at, body, salt ON handoff
BEGIN SELECT RAISE(ABORT, 'handoff: its terms are fixed'); END;

CREATE TRIGGER task_audited BEFORE UPDATE ON task
WHEN NEW.audit_seq <= OLD.audit_seq
BEGIN SELECT RAISE(ABORT, 'task: a change needs its own audit record'); END;
CREATE TRIGGER handoff_audited BEFORE UPDATE ON handoff
WHEN NEW.audit_seq <= OLD.audit_seq
BEGIN SELECT RAISE(ABORT, 'handoff: a change needs its own audit record'); END;
CREATE TRIGGER outbox_audited BEFORE UPDATE OF
  status, attempts, refusals, next_at, expires_at, tried_at, fell_back, remote_id,
  last_error ON outbox
WHEN NEW.audit_seq <= OLD.audit_seq
BEGIN SELECT RAISE(ABORT, 'outbox: a change needs its own audit record'); END;
CREATE TRIGGER timer_audited BEFORE UPDATE ON timer
WHEN NEW.audit_seq <= OLD.audit_seq
BEGIN SELECT RAISE(ABORT, 'timer: a change needs its own audit record'); END;
CREATE TRIGGER outbox_terms BEFORE UPDATE OF
  outbox_id, handoff_id, channel, place, kind, body, queued_at ON outbox
BEGIN SELECT RAISE(ABORT, 'outbox: what is to be told is fixed'); END;
CREATE TRIGGER outbox_edges BEFORE UPDATE ON outbox
WHEN OLD.status = 'done' AND NEW.status <> 'done'
BEGIN SELECT RAISE(ABORT, 'outbox: what was delivered stays delivered'); END;
CREATE TRIGGER notice_audited BEFORE UPDATE ON notice
WHEN NEW.audit_seq <= OLD.audit_seq
BEGIN SELECT RAISE(ABORT, 'notice: a change needs its own audit record'); END;
CREATE TRIGGER notice_terms BEFORE UPDATE OF
  handoff_id, message_id, text, wait_s, said_at ON notice
BEGIN SELECT RAISE(ABORT, 'notice: what the user was told is fixed'); END;
CREATE TRIGGER attachment_bytes BEFORE UPDATE OF sha256, size ON attachment
BEGIN SELECT RAISE(ABORT, 'attachment: what was stored is fixed'); END;
CREATE TRIGGER attachment_named BEFORE DELETE ON attachment
WHEN OLD.used_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'attachment: an event names it'); END;
CREATE TRIGGER attachment_use_kept BEFORE UPDATE ON attachment_use
BEGIN SELECT RAISE(ABORT, 'attachment_use: append-only'); END;
CREATE TRIGGER attachment_use_stays BEFORE DELETE ON attachment_use
BEGIN SELECT RAISE(ABORT, 'attachment_use: append-only'); END;
CREATE TRIGGER rating_audited BEFORE UPDATE ON rating
WHEN NEW.audit_seq <= OLD.audit_seq
BEGIN SELECT RAISE(ABORT, 'rating: a change needs its own audit record'); END;

CREATE TRIGGER alarm_audited BEFORE UPDATE ON alarm
WHEN NEW.audit_seq <= OLD.audit_seq
BEGIN SELECT RAISE(ABORT, 'alarm: a change needs its own audit record'); END;
CREATE TRIGGER alarm_terms BEFORE UPDATE OF
  alarm_id, model, code, segment, severity, withdraws, raised_at, body, salt ON alarm
BEGIN SELECT RAISE(ABORT, 'alarm: what was found is fixed'); END;
CREATE TRIGGER alarm_cleared_once BEFORE UPDATE ON alarm
WHEN OLD.cleared_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'alarm: it was cleared before'); END;

-- --- what may never change -----------------------------------------------------------

CREATE TRIGGER audit_event_kept BEFORE UPDATE ON audit_event
BEGIN SELECT RAISE(ABORT, 'audit_event: append-only'); END;
CREATE TRIGGER audit_event_stays BEFORE DELETE ON audit_event
BEGIN SELECT RAISE(ABORT, 'audit_event: append-only'); END;
CREATE TRIGGER audit_node_kept BEFORE UPDATE ON audit_node
BEGIN SELECT RAISE(ABORT, 'audit_node: append-only'); END;
CREATE TRIGGER audit_node_stays BEFORE DELETE ON audit_node
BEGIN SELECT RAISE(ABORT, 'audit_node: append-only'); END;
CREATE TRIGGER event_kept BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'event: append-only'); END;
CREATE TRIGGER event_stays BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'event: append-only'); END;
CREATE TRIGGER decision_kept BEFORE UPDATE ON decision
BEGIN SELECT RAISE(ABORT, 'decision: append-only'); END;
CREATE TRIGGER decision_stays BEFORE DELETE ON decision
BEGIN SELECT RAISE(ABORT, 'decision: append-only'); END;
CREATE TRIGGER package_kept BEFORE UPDATE ON package
BEGIN SELECT RAISE(ABORT, 'package: append-only'); END;
CREATE TRIGGER package_stays BEFORE DELETE ON package
BEGIN SELECT RAISE(ABORT, 'package: append-only'); END;
CREATE TRIGGER answer_kept BEFORE UPDATE ON answer
BEGIN SELECT RAISE(ABORT, 'answer: append-only'); END;
CREATE TRIGGER handoff_history_kept BEFORE UPDATE ON handoff_history
BEGIN SELECT RAISE(ABORT, 'handoff_history: append-only'); END;
CREATE TRIGGER handoff_history_stays BEFORE DELETE ON handoff_history
BEGIN SELECT RAISE(ABORT, 'handoff_history: append-only'); END;
CREATE TRIGGER outbox_stays BEFORE DELETE ON outbox
BEGIN SELECT RAISE(ABORT, 'outbox: a row is done or dead, not deleted'); END;
CREATE TRIGGER notice_stays BEFORE DELETE ON notice
BEGIN SELECT RAISE(ABORT, 'notice: what the user was told is kept'); END;
CREATE TRIGGER action_kept BEFORE UPDATE ON action
BEGIN SELECT RAISE(ABORT, 'action: append-only'); END;
CREATE TRIGGER action_stays BEFORE DELETE ON action
BEGIN SELECT RAISE(ABORT, 'action: append-only'); END;
CREATE TRIGGER violation_kept BEFORE UPDATE ON violation
BEGIN SELECT RAISE(ABORT, 'violation: append-only'); END;
CREATE TRIGGER violation_stays BEFORE DELETE ON violation
BEGIN SELECT RAISE(ABORT, 'violation: append-only'); END;
CREATE TRIGGER announcement_kept BEFORE UPDATE ON announcement
BEGIN SELECT RAISE(ABORT, 'announcement: append-only'); END;
CREATE TRIGGER announcement_stays BEFORE DELETE ON announcement
BEGIN SELECT RAISE(ABORT, 'announcement: append-only'); END;
CREATE TRIGGER task_stays BEFORE DELETE ON task
BEGIN SELECT RAISE(ABORT, 'task: a task is closed, not deleted'); END;
CREATE TRIGGER handoff_stays BEFORE DELETE ON handoff
BEGIN SELECT RAISE(ABORT, 'handoff: a handoff is closed, not deleted'); END;
CREATE TRIGGER alarm_stays BEFORE DELETE ON alarm
BEGIN SELECT RAISE(ABORT, 'alarm: an alarm is cleared, not deleted'); END;
