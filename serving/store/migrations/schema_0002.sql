-- The store of one deployment, for SQLite. What must never happen is refused here as
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
  claimed_by  TEXT,
  claimed_at  TEXT,
  body        BLOB NOT NULL,                   -- JSON: what never changes
  salt        BLOB NOT NULL CHECK (length(salt) = 32),
  audit_seq   INTEGER NOT NULL REFERENCES audit_event (seq),
  UNIQUE (task_id, epoch),
  CHECK ((status = 'QUEUED') = (claimed_by IS NULL)),
  CHECK ((claimed_by IS NULL) = (claimed_at IS NULL))
);
CREATE UNIQUE INDEX one_active_handoff ON handoff (task_id)
  WHERE status IN ('QUEUED', 'CLAIMED');
CREATE INDEX handoff_waiting ON handoff (queue, status, queued_at);
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
-- One row for each handover and outside target; delivery never decides ownership.
CREATE TABLE outbox (
  outbox_id  TEXT PRIMARY KEY,
  handoff_id TEXT NOT NULL REFERENCES handoff (handoff_id),
  target     TEXT NOT NULL,
  status     TEXT NOT NULL CHECK (status IN ('pending', 'sending', 'done', 'dead')),
  attempts   INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  next_at    TEXT NOT NULL,
  audit_seq  INTEGER NOT NULL REFERENCES audit_event (seq),
  UNIQUE (handoff_id, target)
);
CREATE INDEX outbox_due ON outbox (status, next_at);
-- A deadline is a row: it outlives the process. Settled means it can no longer pass.
CREATE TABLE timer (
  handoff_id TEXT NOT NULL REFERENCES handoff (handoff_id),
  kind       TEXT NOT NULL CHECK (kind IN ('acknowledge', 'resolve')),
  due_at     TEXT NOT NULL,
  settled_at TEXT,
  audit_seq  INTEGER NOT NULL REFERENCES audit_event (seq),
  PRIMARY KEY (handoff_id, kind)
);
CREATE INDEX timer_due ON timer (due_at) WHERE settled_at IS NULL;
CREATE TABLE rating (
  handoff_id TEXT NOT NULL REFERENCES handoff (handoff_id),
  by         TEXT NOT NULL,
  sufficient INTEGER NOT NULL CHECK (sufficient IN (0, 1)),
  missing    BLOB NOT NULL,                    -- JSON list of names
  at         TEXT NOT NULL,
  audit_seq  INTEGER NOT NULL REFERENCES audit_event (seq),
  PRIMARY KEY (handoff_id, by)
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
CREATE INDEX alarm_listed ON alarm (raised_at);

-- --- what may change, and how --------------------------------------------------------

CREATE TRIGGER task_ownership BEFORE UPDATE ON task
WHEN NEW.epoch <> OLD.epoch
  + (NEW.owner_kind <> OLD.owner_kind OR NEW.owner_id <> OLD.owner_id)
BEGIN SELECT RAISE(ABORT, 'task: epoch must rise by one with each change of owner'); END;

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
CREATE TRIGGER outbox_audited BEFORE UPDATE ON outbox
WHEN NEW.audit_seq <= OLD.audit_seq
BEGIN SELECT RAISE(ABORT, 'outbox: a change needs its own audit record'); END;
CREATE TRIGGER timer_audited BEFORE UPDATE ON timer
WHEN NEW.audit_seq <= OLD.audit_seq
BEGIN SELECT RAISE(ABORT, 'timer: a change needs its own audit record'); END;
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
CREATE TRIGGER task_stays BEFORE DELETE ON task
BEGIN SELECT RAISE(ABORT, 'task: a task is closed, not deleted'); END;
CREATE TRIGGER handoff_stays BEFORE DELETE ON handoff
BEGIN SELECT RAISE(ABORT, 'handoff: a handoff is closed, not deleted'); END;
CREATE TRIGGER alarm_stays BEFORE DELETE ON alarm
BEGIN SELECT RAISE(ABORT, 'alarm: an alarm is cleared, not deleted'); END;
