-- revision 0015
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

--

CREATE TABLE batches (
	model VARCHAR(63) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	fingerprint VARCHAR(128) NOT NULL, 
	source TEXT NOT NULL, 
	n_rows BIGINT NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	n_quarantined BIGINT, 
	ingested_at DATETIME, 
	md5 VARCHAR(32), 
	file_state VARCHAR(96), 
	PRIMARY KEY (model, name)
);

--

CREATE TABLE data_versions (
	model VARCHAR(63) NOT NULL, 
	version VARCHAR(36) NOT NULL, 
	n_rows BIGINT NOT NULL, 
	n_batches BIGINT NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	git_commit VARCHAR(64) NOT NULL, 
	PRIMARY KEY (model, version)
);

--

CREATE INDEX ix_data_versions_version ON data_versions (version);

--

CREATE TABLE data_pushes (
	tree VARCHAR(36) NOT NULL, 
	remote VARCHAR(512) NOT NULL, 
	pushed_at DATETIME NOT NULL, 
	PRIMARY KEY (tree, remote)
);

--

CREATE TABLE champions (
	model VARCHAR(63) NOT NULL, 
	sequence INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	below INTEGER, 
	kind VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	actor VARCHAR(255) NOT NULL, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (model, sequence)
);

--

CREATE TABLE reviews (
	id INTEGER NOT NULL, 
	model VARCHAR(63) NOT NULL, 
	version INTEGER NOT NULL, 
	action VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	actor VARCHAR(255) NOT NULL, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (id)
);

--

CREATE INDEX ix_reviews_model_version ON reviews (model, version);

--

CREATE TABLE projections (
	model VARCHAR(63) NOT NULL, 
	sequence INTEGER NOT NULL, 
	challenger INTEGER, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (model)
);

--

CREATE TRIGGER champions_refuse_update BEFORE update ON champions BEGIN SELECT RAISE(ABORT, 'champions is append-only'); END;

--

CREATE TRIGGER champions_refuse_delete BEFORE delete ON champions BEGIN SELECT RAISE(ABORT, 'champions is append-only'); END;

--

CREATE TRIGGER reviews_refuse_update BEFORE update ON reviews BEGIN SELECT RAISE(ABORT, 'reviews is append-only'); END;

--

CREATE TRIGGER reviews_refuse_delete BEFORE delete ON reviews BEGIN SELECT RAISE(ABORT, 'reviews is append-only'); END;

--

CREATE TABLE drift_windows (
	id VARCHAR(64) NOT NULL, 
	model VARCHAR(63) NOT NULL, 
	champion INTEGER NOT NULL, 
	against VARCHAR(64) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	drifted BOOLEAN NOT NULL, 
	retrain BOOLEAN NOT NULL, 
	n_rows BIGINT NOT NULL, 
	first_time DATETIME, 
	last_time DATETIME, 
	since DATETIME, 
	until DATETIME, 
	batches TEXT NOT NULL, 
	document TEXT NOT NULL, 
	measured_at DATETIME NOT NULL, 
	PRIMARY KEY (id)
);

--

CREATE INDEX ix_drift_windows_model_measured_at ON drift_windows (model, measured_at);

--

CREATE TRIGGER drift_windows_refuse_delete BEFORE delete ON drift_windows BEGIN SELECT RAISE(ABORT, 'drift_windows is append-only'); END;

--

CREATE TABLE prediction_requests (
	id VARCHAR(36) NOT NULL, 
	model VARCHAR(63) NOT NULL, 
	version INTEGER NOT NULL, 
	variant VARCHAR(16) NOT NULL, 
	at DATETIME NOT NULL, 
	n_rows INTEGER NOT NULL, 
	latency_ms FLOAT NOT NULL, 
	rows TEXT NOT NULL, 
	outputs TEXT NOT NULL, 
	entity_keys TEXT, columns TEXT, failure TEXT, served_id VARCHAR(36), 
	PRIMARY KEY (id)
);

--

CREATE TABLE api_keys (
	id VARCHAR(16) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	secret_sha256 VARCHAR(64) NOT NULL, 
	scopes TEXT NOT NULL, 
	models TEXT NOT NULL, 
	rate FLOAT, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME, 
	revoked_at DATETIME, 
	PRIMARY KEY (id)
);

--

CREATE TABLE triggers (
	model VARCHAR(63) NOT NULL, 
	id VARCHAR(255) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	sender VARCHAR(255) NOT NULL, 
	document TEXT NOT NULL, 
	received_at DATETIME NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	leader VARCHAR(255), 
	flow_run VARCHAR(36), 
	deployed BOOLEAN NOT NULL, 
	attempts INTEGER NOT NULL, 
	next_at DATETIME, 
	started_at DATETIME, 
	answered_at DATETIME, 
	outcome VARCHAR(16), 
	reason TEXT, 
	trained BOOLEAN NOT NULL, 
	data_version VARCHAR(36), 
	version INTEGER, 
	PRIMARY KEY (model, id)
);

--

CREATE INDEX ix_triggers_status ON triggers (status);

--

CREATE INDEX ix_triggers_model_received ON triggers (model, received_at);

--

CREATE TABLE events (
	id VARCHAR(36) NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	model VARCHAR(63) NOT NULL, 
	document TEXT NOT NULL, 
	occurred_at DATETIME NOT NULL, 
	sent_at DATETIME, 
	alerted_at DATETIME, 
	PRIMARY KEY (id)
);

--

CREATE INDEX ix_events_sent_at ON events (sent_at);

--

CREATE INDEX ix_events_alerted_at ON events (alerted_at);

--

CREATE TABLE alerts (
	id VARCHAR(36) NOT NULL, 
	"key" VARCHAR(128) NOT NULL, 
	destination VARCHAR(64) NOT NULL, 
	level VARCHAR(16) NOT NULL, 
	title VARCHAR(255) NOT NULL, 
	body TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	n_more INTEGER NOT NULL, 
	attempts INTEGER NOT NULL, 
	next_at DATETIME, 
	sent_at DATETIME, 
	PRIMARY KEY (id)
);

--

CREATE INDEX ix_alerts_key_created ON alerts ("key", created_at);

--

CREATE INDEX ix_alerts_sent_at ON alerts (sent_at);

--

CREATE TABLE "verdicts" (
	model VARCHAR(63) NOT NULL, 
	version INTEGER NOT NULL, 
	champion_sequence INTEGER NOT NULL, 
	champion INTEGER, 
	decision VARCHAR(16) NOT NULL, 
	mode VARCHAR(16) NOT NULL, 
	n_rows BIGINT NOT NULL, 
	holdout VARCHAR(64) NOT NULL, 
	sketch TEXT NOT NULL, 
	manifest VARCHAR(64) NOT NULL, 
	document TEXT NOT NULL, 
	judged_at DATETIME NOT NULL, 
	number INTEGER NOT NULL, 
	rules VARCHAR(64) NOT NULL, 
	PRIMARY KEY (model, version, champion_sequence, number)
);

--

CREATE TRIGGER verdicts_refuse_update BEFORE update ON verdicts BEGIN SELECT RAISE(ABORT, 'verdicts is append-only'); END;

--

CREATE TRIGGER verdicts_refuse_delete BEFORE delete ON verdicts BEGIN SELECT RAISE(ABORT, 'verdicts is append-only'); END;

--

CREATE TRIGGER drift_windows_refuse_update BEFORE UPDATE ON drift_windows WHEN NOT (NEW.id IS OLD.id AND NEW.model IS OLD.model AND NEW.champion IS OLD.champion AND NEW.against IS OLD.against AND NEW.status IS OLD.status AND NEW.drifted IS OLD.drifted AND NEW.retrain IS OLD.retrain AND NEW.n_rows IS OLD.n_rows AND NEW.first_time IS OLD.first_time AND NEW.last_time IS OLD.last_time AND NEW.since IS OLD.since AND NEW.until IS OLD.until AND NEW.batches IS OLD.batches AND NEW.measured_at IS OLD.measured_at AND length(NEW.document) < length(OLD.document)) BEGIN SELECT RAISE(ABORT, 'drift_windows is append-only'); END;

--

CREATE INDEX ix_events_occurred_at ON events (occurred_at);

--

CREATE TABLE built_bundles (
	model VARCHAR(63) NOT NULL, 
	run_key VARCHAR(64) NOT NULL, 
	manifest VARCHAR(64) NOT NULL, 
	data_version VARCHAR(64) NOT NULL, 
	"trigger" TEXT NOT NULL, 
	built_at DATETIME NOT NULL, 
	PRIMARY KEY (model, run_key, manifest)
);

--

CREATE TABLE registered_versions (
	model VARCHAR(63) NOT NULL, 
	version INTEGER NOT NULL, 
	manifest VARCHAR(64) NOT NULL, 
	run_key VARCHAR(64) NOT NULL, 
	data_version VARCHAR(64) NOT NULL, 
	"trigger" TEXT NOT NULL, 
	origin VARCHAR(16) NOT NULL, 
	recorded_at DATETIME NOT NULL, 
	PRIMARY KEY (model, version)
);

--

CREATE INDEX ix_registered_versions_run_key ON registered_versions (model, run_key);

--

CREATE TRIGGER built_bundles_refuse_update BEFORE update ON built_bundles BEGIN SELECT RAISE(ABORT, 'built_bundles is append-only'); END;

--

CREATE TRIGGER built_bundles_refuse_delete BEFORE delete ON built_bundles BEGIN SELECT RAISE(ABORT, 'built_bundles is append-only'); END;

--

CREATE TRIGGER registered_versions_refuse_update BEFORE update ON registered_versions BEGIN SELECT RAISE(ABORT, 'registered_versions is append-only'); END;

--

CREATE TRIGGER registered_versions_refuse_delete BEFORE delete ON registered_versions BEGIN SELECT RAISE(ABORT, 'registered_versions is append-only'); END;

--

CREATE TABLE releases (
	model VARCHAR(63) NOT NULL, 
	number INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	manifest VARCHAR(64) NOT NULL, 
	champion INTEGER NOT NULL, 
	champion_sequence INTEGER NOT NULL, 
	"plan" TEXT NOT NULL, 
	salt VARCHAR(64) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	actor VARCHAR(255) NOT NULL, 
	started_at DATETIME NOT NULL, 
	PRIMARY KEY (model, number)
);

--

CREATE TABLE release_steps (
	model VARCHAR(63) NOT NULL, 
	number INTEGER NOT NULL, 
	sequence INTEGER NOT NULL, 
	stage VARCHAR(8) NOT NULL, 
	share INTEGER NOT NULL, 
	action VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	actor VARCHAR(255) NOT NULL, 
	document TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (model, number, sequence)
);

--

CREATE TABLE release_looks (
	model VARCHAR(63) NOT NULL, 
	number INTEGER NOT NULL, 
	sequence INTEGER NOT NULL, 
	looks INTEGER NOT NULL, 
	document TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (model, number, sequence)
);

--

CREATE TABLE release_trips (
	model VARCHAR(63) NOT NULL, 
	number INTEGER NOT NULL, 
	instance VARCHAR(255) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (model, number, instance, kind)
);

--

CREATE TRIGGER releases_refuse_update BEFORE update ON releases BEGIN SELECT RAISE(ABORT, 'releases is append-only'); END;

--

CREATE TRIGGER releases_refuse_delete BEFORE delete ON releases BEGIN SELECT RAISE(ABORT, 'releases is append-only'); END;

--

CREATE TRIGGER release_steps_refuse_update BEFORE update ON release_steps BEGIN SELECT RAISE(ABORT, 'release_steps is append-only'); END;

--

CREATE TRIGGER release_steps_refuse_delete BEFORE delete ON release_steps BEGIN SELECT RAISE(ABORT, 'release_steps is append-only'); END;

--

CREATE TRIGGER release_trips_refuse_update BEFORE update ON release_trips BEGIN SELECT RAISE(ABORT, 'release_trips is append-only'); END;

--

CREATE TRIGGER release_trips_refuse_delete BEFORE delete ON release_trips BEGIN SELECT RAISE(ABORT, 'release_trips is append-only'); END;

--

CREATE INDEX ix_prediction_requests_model_at ON prediction_requests (model, at, variant);

--

CREATE TRIGGER built_bundles_refuse_replacement BEFORE INSERT ON built_bundles WHEN EXISTS (SELECT 1 FROM built_bundles WHERE rowid = NEW.rowid OR (model = NEW.model AND run_key = NEW.run_key AND manifest = NEW.manifest)) BEGIN SELECT RAISE(ABORT, 'built_bundles is append-only'); END;

--

CREATE TRIGGER champions_refuse_replacement BEFORE INSERT ON champions WHEN EXISTS (SELECT 1 FROM champions WHERE rowid = NEW.rowid OR (model = NEW.model AND sequence = NEW.sequence)) BEGIN SELECT RAISE(ABORT, 'champions is append-only'); END;

--

CREATE TRIGGER drift_windows_refuse_replacement BEFORE INSERT ON drift_windows WHEN EXISTS (SELECT 1 FROM drift_windows WHERE rowid = NEW.rowid OR (id = NEW.id)) BEGIN SELECT RAISE(ABORT, 'drift_windows is append-only'); END;

--

CREATE TRIGGER registered_versions_refuse_replacement BEFORE INSERT ON registered_versions WHEN EXISTS (SELECT 1 FROM registered_versions WHERE rowid = NEW.rowid OR (model = NEW.model AND version = NEW.version)) BEGIN SELECT RAISE(ABORT, 'registered_versions is append-only'); END;

--

CREATE TRIGGER release_steps_refuse_replacement BEFORE INSERT ON release_steps WHEN EXISTS (SELECT 1 FROM release_steps WHERE rowid = NEW.rowid OR (model = NEW.model AND number = NEW.number AND sequence = NEW.sequence)) BEGIN SELECT RAISE(ABORT, 'release_steps is append-only'); END;

--

CREATE TRIGGER release_trips_refuse_replacement BEFORE INSERT ON release_trips WHEN EXISTS (SELECT 1 FROM release_trips WHERE rowid = NEW.rowid OR (model = NEW.model AND number = NEW.number AND instance = NEW.instance AND kind = NEW.kind)) BEGIN SELECT RAISE(ABORT, 'release_trips is append-only'); END;

--

CREATE TRIGGER releases_refuse_replacement BEFORE INSERT ON releases WHEN EXISTS (SELECT 1 FROM releases WHERE rowid = NEW.rowid OR (model = NEW.model AND number = NEW.number)) BEGIN SELECT RAISE(ABORT, 'releases is append-only'); END;

--

CREATE TRIGGER reviews_refuse_replacement BEFORE INSERT ON reviews WHEN EXISTS (SELECT 1 FROM reviews WHERE rowid = NEW.rowid OR (id = NEW.id)) BEGIN SELECT RAISE(ABORT, 'reviews is append-only'); END;

--

CREATE TRIGGER verdicts_refuse_replacement BEFORE INSERT ON verdicts WHEN EXISTS (SELECT 1 FROM verdicts WHERE rowid = NEW.rowid OR (model = NEW.model AND version = NEW.version AND champion_sequence = NEW.champion_sequence AND number = NEW.number)) BEGIN SELECT RAISE(ABORT, 'verdicts is append-only'); END;

--

CREATE TRIGGER batches_refuse_update BEFORE update ON batches WHEN NOT (NEW.model IS OLD.model AND NEW.name IS OLD.name AND NEW.fingerprint IS OLD.fingerprint AND NEW.source IS OLD.source AND NEW.n_rows IS OLD.n_rows AND NEW.size_bytes IS OLD.size_bytes AND NEW.n_quarantined IS OLD.n_quarantined AND NEW.ingested_at IS OLD.ingested_at) BEGIN SELECT RAISE(ABORT, 'batches is append-only'); END;

--

CREATE TRIGGER batches_refuse_delete BEFORE delete ON batches BEGIN SELECT RAISE(ABORT, 'batches is append-only'); END;

--

CREATE TRIGGER batches_refuse_replacement BEFORE INSERT ON batches WHEN EXISTS (SELECT 1 FROM batches WHERE rowid = NEW.rowid OR (model = NEW.model AND name = NEW.name)) BEGIN SELECT RAISE(ABORT, 'batches is append-only'); END;

--

CREATE TRIGGER data_versions_refuse_update BEFORE update ON data_versions BEGIN SELECT RAISE(ABORT, 'data_versions is append-only'); END;

--

CREATE TRIGGER data_versions_refuse_delete BEFORE delete ON data_versions BEGIN SELECT RAISE(ABORT, 'data_versions is append-only'); END;

--

CREATE TRIGGER data_versions_refuse_replacement BEFORE INSERT ON data_versions WHEN EXISTS (SELECT 1 FROM data_versions WHERE rowid = NEW.rowid OR (model = NEW.model AND version = NEW.version)) BEGIN SELECT RAISE(ABORT, 'data_versions is append-only'); END;

--

CREATE TABLE scored_batches (
	id VARCHAR(64) NOT NULL, 
	model VARCHAR(63) NOT NULL, 
	version INTEGER NOT NULL, 
	manifest VARCHAR(64) NOT NULL, 
	run VARCHAR(64) NOT NULL, 
	input TEXT NOT NULL, 
	input_sha256 VARCHAR(64) NOT NULL, 
	output TEXT NOT NULL, 
	output_sha256 VARCHAR(64) NOT NULL, 
	set_aside TEXT, 
	features BOOLEAN NOT NULL, 
	n_rows BIGINT NOT NULL, 
	n_scored BIGINT NOT NULL, 
	n_set_aside BIGINT NOT NULL, 
	predicted_at DATETIME NOT NULL, 
	recorded_at DATETIME NOT NULL, 
	PRIMARY KEY (id)
);

--

CREATE INDEX ix_scored_batches_model_recorded_at ON scored_batches (model, recorded_at);

--

CREATE TRIGGER scored_batches_refuse_replacement BEFORE INSERT ON scored_batches WHEN EXISTS (SELECT 1 FROM scored_batches WHERE rowid = NEW.rowid OR id = NEW.id) BEGIN SELECT RAISE(ABORT, 'scored_batches is append-only'); END;

--

CREATE TABLE label_history (
	model VARCHAR(63) NOT NULL, 
	kind VARCHAR(3) NOT NULL, 
	reference VARCHAR(255) NOT NULL, 
	event_at DATETIME NOT NULL, 
	number INTEGER NOT NULL, 
	label VARCHAR(255) NOT NULL, 
	sender VARCHAR(255) NOT NULL, 
	received_at DATETIME NOT NULL, 
	PRIMARY KEY (model, kind, reference, event_at, number)
);

--

CREATE INDEX ix_label_history_model_received_at ON label_history (model, received_at);

--

CREATE VIEW labels AS
SELECT h.model, h.kind, h.reference, h.label, h.sender, h.received_at,
       CASE WHEN h.event_at = '0001-01-01 00:00:00.000000' THEN NULL ELSE h.event_at END AS event_at
FROM label_history AS h
WHERE h.number = (SELECT max(n.number) FROM label_history AS n
                  WHERE n.model = h.model AND n.kind = h.kind AND n.reference = h.reference
                    AND n.event_at = h.event_at);

--

CREATE TABLE erasures (
	id VARCHAR(36) NOT NULL, 
	model VARCHAR(63) NOT NULL, 
	actor VARCHAR(255) NOT NULL, 
	reason TEXT NOT NULL, 
	started_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	document TEXT NOT NULL, 
	door BOOLEAN NOT NULL, 
	PRIMARY KEY (id)
);

--

CREATE INDEX ix_erasures_model_started_at ON erasures (model, started_at);

--

CREATE TRIGGER scored_batches_refuse_update BEFORE update ON scored_batches WHEN NOT (NEW.id IS OLD.id AND NEW.model IS OLD.model AND NEW.version IS OLD.version AND NEW.manifest IS OLD.manifest AND NEW.run IS OLD.run AND NEW.input IS OLD.input AND NEW.input_sha256 IS OLD.input_sha256 AND NEW.output IS OLD.output AND NEW.set_aside IS OLD.set_aside AND NEW.features IS OLD.features AND NEW.predicted_at IS OLD.predicted_at AND NEW.recorded_at IS OLD.recorded_at AND EXISTS (SELECT 1 FROM erasures AS e WHERE e.model = OLD.model AND e.door)) BEGIN SELECT RAISE(ABORT, 'scored_batches is append-only'); END;

--

CREATE TRIGGER scored_batches_refuse_delete BEFORE delete ON scored_batches WHEN julianday('now') - julianday(OLD.recorded_at) < 7 BEGIN SELECT RAISE(ABORT, 'scored_batches is append-only'); END;

--

CREATE TRIGGER erasures_refuse_update BEFORE update ON erasures WHEN NOT (NEW.id IS OLD.id AND NEW.model IS OLD.model AND NEW.actor IS OLD.actor AND NEW.reason IS OLD.reason AND NEW.started_at IS OLD.started_at AND (OLD.finished_at IS NULL OR (NEW.finished_at IS OLD.finished_at AND NEW.document IS OLD.document AND NEW.door IS OLD.door))) BEGIN SELECT RAISE(ABORT, 'erasures is append-only'); END;

--

CREATE TRIGGER erasures_refuse_delete BEFORE delete ON erasures WHEN true BEGIN SELECT RAISE(ABORT, 'erasures is append-only'); END;

--

CREATE TRIGGER erasures_refuse_replacement BEFORE INSERT ON erasures WHEN EXISTS (SELECT 1 FROM erasures WHERE rowid = NEW.rowid OR id = NEW.id) BEGIN SELECT RAISE(ABORT, 'erasures is append-only'); END;

--

CREATE VIEW predictions AS
SELECT substr(r.id, 1, 32) || printf('%04x', e.key + 4096 * (instr('0123456789abcdef', substr(r.id, 33, 1)) - 1) + 256 * (instr('0123456789abcdef', substr(r.id, 34, 1)) - 1) + 16 * (instr('0123456789abcdef', substr(r.id, 35, 1)) - 1) + 1 * (instr('0123456789abcdef', substr(r.id, 36, 1)) - 1)) AS id,
       r.model, r.version, r.variant, r.at, r.latency_ms,
       json_extract(r.entity_keys, '$[' || e.key || ']') AS entity_key,
       CASE WHEN r.columns IS NULL THEN e.value
            ELSE (SELECT json_group_object(n.value, e.value -> n.key) FROM json_each(r.columns) AS n)
       END AS features,
       json_extract(r.outputs, '$[' || e.key || ']') AS output
FROM prediction_requests AS r, json_each(r.rows) AS e
WHERE r.failure IS NULL AND r.variant <> 'shadow';

--

INSERT INTO alembic_version (version_num) VALUES ('0015')
