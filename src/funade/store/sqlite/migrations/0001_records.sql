-- `record` is the whole record as JSON; the other columns are what it is looked up by.
-- What is only ever added says so itself: changing or removing such a row is refused by the file.

CREATE TABLE revisions (
    sequence INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    period TEXT NOT NULL,
    start TEXT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX revisions_by_period ON revisions (source, period, sequence);

CREATE TABLE versions (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    node TEXT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX versions_by_node ON versions (node, number);

CREATE TABLE inputs (
    version TEXT NOT NULL REFERENCES versions (id),
    node TEXT NOT NULL,
    input TEXT NOT NULL,
    PRIMARY KEY (version, node)
) WITHOUT ROWID;
CREATE INDEX inputs_by_input ON inputs (input);

CREATE TABLE builds (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    node TEXT NOT NULL,
    version TEXT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX builds_by_node ON builds (node, number);
CREATE INDEX builds_by_version ON builds (version, number);

CREATE TABLE checks (
    number INTEGER PRIMARY KEY,
    version TEXT NOT NULL REFERENCES versions (id),
    policies TEXT NOT NULL,
    record TEXT NOT NULL,
    UNIQUE (version, policies)
);

CREATE TABLE holds (
    node TEXT PRIMARY KEY,
    version TEXT NOT NULL REFERENCES versions (id),
    record TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE candidates (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    record TEXT NOT NULL
);

-- The newest row names the candidate that `release` judges; one candidate may be staged again and again.
CREATE TABLE stagings (
    number INTEGER PRIMARY KEY,
    candidate TEXT NOT NULL REFERENCES candidates (id)
);

CREATE TABLE releases (
    number INTEGER PRIMARY KEY,
    candidate TEXT NOT NULL REFERENCES candidates (id),
    record TEXT NOT NULL
);

CREATE TABLE switches (
    generation INTEGER PRIMARY KEY,
    release INTEGER NOT NULL REFERENCES releases (number),
    record TEXT NOT NULL
);

CREATE TRIGGER revisions_no_update BEFORE UPDATE ON revisions
BEGIN SELECT RAISE (ABORT, 'revisions are only ever added'); END;
CREATE TRIGGER revisions_no_delete BEFORE DELETE ON revisions
BEGIN SELECT RAISE (ABORT, 'revisions are only ever added'); END;
CREATE TRIGGER versions_no_update BEFORE UPDATE ON versions
BEGIN SELECT RAISE (ABORT, 'versions are only ever added'); END;
CREATE TRIGGER versions_no_delete BEFORE DELETE ON versions
BEGIN SELECT RAISE (ABORT, 'versions are only ever added'); END;
CREATE TRIGGER inputs_no_update BEFORE UPDATE ON inputs
BEGIN SELECT RAISE (ABORT, 'inputs are only ever added'); END;
CREATE TRIGGER inputs_no_delete BEFORE DELETE ON inputs
BEGIN SELECT RAISE (ABORT, 'inputs are only ever added'); END;
CREATE TRIGGER builds_no_update BEFORE UPDATE ON builds
BEGIN SELECT RAISE (ABORT, 'builds are only ever added'); END;
CREATE TRIGGER builds_no_delete BEFORE DELETE ON builds
BEGIN SELECT RAISE (ABORT, 'builds are only ever added'); END;
CREATE TRIGGER checks_no_update BEFORE UPDATE ON checks
BEGIN SELECT RAISE (ABORT, 'checks are only ever added'); END;
CREATE TRIGGER checks_no_delete BEFORE DELETE ON checks
BEGIN SELECT RAISE (ABORT, 'checks are only ever added'); END;
CREATE TRIGGER candidates_no_update BEFORE UPDATE ON candidates
BEGIN SELECT RAISE (ABORT, 'candidates are only ever added'); END;
CREATE TRIGGER candidates_no_delete BEFORE DELETE ON candidates
BEGIN SELECT RAISE (ABORT, 'candidates are only ever added'); END;
CREATE TRIGGER stagings_no_update BEFORE UPDATE ON stagings
BEGIN SELECT RAISE (ABORT, 'stagings are only ever added'); END;
CREATE TRIGGER stagings_no_delete BEFORE DELETE ON stagings
BEGIN SELECT RAISE (ABORT, 'stagings are only ever added'); END;
CREATE TRIGGER releases_no_update BEFORE UPDATE ON releases
BEGIN SELECT RAISE (ABORT, 'releases are only ever added'); END;
CREATE TRIGGER releases_no_delete BEFORE DELETE ON releases
BEGIN SELECT RAISE (ABORT, 'releases are only ever added'); END;
CREATE TRIGGER switches_no_update BEFORE UPDATE ON switches
BEGIN SELECT RAISE (ABORT, 'switches are only ever added'); END;
CREATE TRIGGER switches_no_delete BEFORE DELETE ON switches
BEGIN SELECT RAISE (ABORT, 'switches are only ever added'); END;
