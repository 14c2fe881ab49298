-- A request is in one state: waiting, claimed (by `worker`, until the time `until`), done (its answer is kept) or dead.
-- Times are seconds since 1970, UTC. What may be long lies apart, so that a change of state rewrites little.

CREATE TABLE requests (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    api TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'claimed', 'done', 'dead')),
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    made REAL NOT NULL,
    due REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    alone INTEGER NOT NULL DEFAULT 0,
    worker TEXT NOT NULL DEFAULT '',
    until REAL NOT NULL DEFAULT 0,
    ended REAL NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    key TEXT,
    digest TEXT NOT NULL DEFAULT '',
    callback TEXT NOT NULL DEFAULT ''
);
CREATE INDEX requests_waiting ON requests (due, number) WHERE state = 'waiting';
CREATE INDEX requests_made ON requests (made) WHERE state = 'waiting';
CREATE INDEX requests_claimed ON requests (worker) WHERE state = 'claimed';
CREATE INDEX requests_done ON requests (ended) WHERE state = 'done';
CREATE INDEX requests_dead ON requests (ended) WHERE state = 'dead';
CREATE UNIQUE INDEX requests_by_key ON requests (api, key) WHERE key IS NOT NULL;

CREATE TABLE bodies (
    request INTEGER PRIMARY KEY REFERENCES requests (number) ON DELETE CASCADE,
    body BLOB NOT NULL
);

CREATE TABLE answers (
    request INTEGER PRIMARY KEY REFERENCES requests (number) ON DELETE CASCADE,
    answer BLOB NOT NULL,
    prediction TEXT NOT NULL,
    release INTEGER NOT NULL,
    fallback TEXT NOT NULL,
    guard TEXT NOT NULL,
    defaults TEXT NOT NULL
);

-- A callback that is still to be delivered; the row goes when it was.
CREATE TABLE calls (
    request INTEGER PRIMARY KEY REFERENCES requests (number) ON DELETE CASCADE,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'claimed', 'dead')),
    due REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    worker TEXT NOT NULL DEFAULT '',
    until REAL NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX calls_by_state ON calls (state, due);

-- How many requests are in each state, and their bytes: the queue is bounded, and counting it would take ever longer.
CREATE TABLE tallies (
    state TEXT PRIMARY KEY,
    requests INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
INSERT INTO tallies (state) VALUES ('waiting'), ('claimed'), ('done'), ('dead');

CREATE TRIGGER requests_come AFTER INSERT ON requests BEGIN
    UPDATE tallies SET requests = requests + 1, bytes = bytes + NEW.bytes WHERE state = NEW.state;
END;
CREATE TRIGGER requests_go AFTER DELETE ON requests BEGIN
    UPDATE tallies SET requests = requests - 1, bytes = bytes - OLD.bytes WHERE state = OLD.state;
END;
CREATE TRIGGER requests_move AFTER UPDATE OF state, bytes ON requests BEGIN
    UPDATE tallies SET requests = requests - 1, bytes = bytes - OLD.bytes WHERE state = OLD.state;
    UPDATE tallies SET requests = requests + 1, bytes = bytes + NEW.bytes WHERE state = NEW.state;
END;
