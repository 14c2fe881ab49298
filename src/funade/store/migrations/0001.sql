-- Records are JSON in `record`; the columns beside it are what look-ups need. Rows are only ever added.
CREATE TABLE revisions (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL, period TEXT NOT NULL, start TEXT NOT NULL,
    digest TEXT NOT NULL, bad_digest TEXT NOT NULL, record TEXT NOT NULL
);
CREATE INDEX revisions_of ON revisions (source, period, sequence);

CREATE TABLE versions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, node TEXT NOT NULL, record TEXT NOT NULL
);
CREATE INDEX versions_of ON versions (node, number);
CREATE TABLE inputs (version TEXT NOT NULL REFERENCES versions (id), node TEXT NOT NULL, input TEXT NOT NULL);
CREATE INDEX inputs_into ON inputs (input);

CREATE TABLE builds (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, node TEXT NOT NULL, version TEXT NOT NULL, record TEXT NOT NULL
);
CREATE INDEX builds_of ON builds (node, number);
CREATE TABLE checks (
    version TEXT NOT NULL, policies TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (version, policies)
);

CREATE TABLE holds (node TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE candidates (id TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE stagings (number INTEGER PRIMARY KEY AUTOINCREMENT, candidate TEXT NOT NULL REFERENCES candidates (id));
CREATE TABLE releases (
    number INTEGER PRIMARY KEY, candidate TEXT NOT NULL REFERENCES candidates (id), record TEXT NOT NULL
);
CREATE TABLE switches (
    generation INTEGER PRIMARY KEY, release INTEGER NOT NULL REFERENCES releases (number), record TEXT NOT NULL
);

-- Immutable: what was recorded is never changed nor taken away.
CREATE TRIGGER revisions_no_update BEFORE UPDATE ON revisions BEGIN SELECT RAISE(ABORT, 'revisions are only added'); END;
CREATE TRIGGER revisions_no_delete BEFORE DELETE ON revisions BEGIN SELECT RAISE(ABORT, 'revisions are only added'); END;
CREATE TRIGGER versions_no_update BEFORE UPDATE ON versions BEGIN SELECT RAISE(ABORT, 'versions are only added'); END;
CREATE TRIGGER versions_no_delete BEFORE DELETE ON versions BEGIN SELECT RAISE(ABORT, 'versions are only added'); END;
CREATE TRIGGER inputs_no_update BEFORE UPDATE ON inputs BEGIN SELECT RAISE(ABORT, 'inputs are only added'); END;
CREATE TRIGGER inputs_no_delete BEFORE DELETE ON inputs BEGIN SELECT RAISE(ABORT, 'inputs are only added'); END;
CREATE TRIGGER builds_no_update BEFORE UPDATE ON builds BEGIN SELECT RAISE(ABORT, 'builds are only added'); END;
CREATE TRIGGER builds_no_delete BEFORE DELETE ON builds BEGIN SELECT RAISE(ABORT, 'builds are only added'); END;
CREATE TRIGGER checks_no_update BEFORE UPDATE ON checks BEGIN SELECT RAISE(ABORT, 'checks are only added'); END;
CREATE TRIGGER checks_no_delete BEFORE DELETE ON checks BEGIN SELECT RAISE(ABORT, 'checks are only added'); END;
CREATE TRIGGER candidates_no_update BEFORE UPDATE ON candidates BEGIN SELECT RAISE(ABORT, 'candidates are only added'); END;
CREATE TRIGGER candidates_no_delete BEFORE DELETE ON candidates BEGIN SELECT RAISE(ABORT, 'candidates are only added'); END;
CREATE TRIGGER stagings_no_update BEFORE UPDATE ON stagings BEGIN SELECT RAISE(ABORT, 'stagings are only added'); END;
CREATE TRIGGER stagings_no_delete BEFORE DELETE ON stagings BEGIN SELECT RAISE(ABORT, 'stagings are only added'); END;
CREATE TRIGGER releases_no_update BEFORE UPDATE ON releases BEGIN SELECT RAISE(ABORT, 'releases are only added'); END;
CREATE TRIGGER releases_no_delete BEFORE DELETE ON releases BEGIN SELECT RAISE(ABORT, 'releases are only added'); END;
CREATE TRIGGER switches_no_update BEFORE UPDATE ON switches BEGIN SELECT RAISE(ABORT, 'switches are only added'); END;
CREATE TRIGGER switches_no_delete BEFORE DELETE ON switches BEGIN SELECT RAISE(ABORT, 'switches are only added'); END;
