BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE blocks (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	digest TEXT NOT NULL, 
	count INTEGER NOT NULL, 
	UNIQUE (digest)
);
CREATE TABLE entries (
	block INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	owner INTEGER NOT NULL, 
	revision INTEGER NOT NULL, 
	PRIMARY KEY (block, position), 
	FOREIGN KEY(block) REFERENCES blocks (number), 
	UNIQUE (owner)
)
 WITHOUT ROWID

;
CREATE TABLE gallery (
	number INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	changes INTEGER NOT NULL, 
	facts TEXT NOT NULL, 
	settings BLOB NOT NULL, 
	PRIMARY KEY (number), 
	CONSTRAINT one_gallery CHECK (number = 1)
);
INSERT INTO "gallery" VALUES(1,1,2,'{"mode": "mean"}',X'7365616C6564');
CREATE TABLE refusals (
	source TEXT NOT NULL, 
	reason BLOB NOT NULL, 
	PRIMARY KEY (source)
);
INSERT INTO "refusals" VALUES('photo9',X'776879');
CREATE TABLE subjects (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	name BLOB, 
	merged_into INTEGER, 
	deleted BOOLEAN NOT NULL, 
	waiting BOOLEAN NOT NULL, 
	revision INTEGER NOT NULL, 
	UNIQUE (id), 
	FOREIGN KEY(merged_into) REFERENCES subjects (number)
);
INSERT INTO "subjects" VALUES(1,'ann',X'6E616D65',NULL,0,1,2);
INSERT INTO "subjects" VALUES(2,'bob',NULL,NULL,0,0,2);
CREATE TABLE templates (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	subject INTEGER NOT NULL, 
	source TEXT, 
	record BLOB NOT NULL, 
	added INTEGER NOT NULL, 
	deleted BOOLEAN NOT NULL, 
	waiting BOOLEAN NOT NULL, 
	revision INTEGER NOT NULL, 
	UNIQUE (id), 
	FOREIGN KEY(subject) REFERENCES subjects (number)
);
INSERT INTO "templates" VALUES(1,'t0',1,'photo0',X'7265636F7264',1796029188,0,0,2);
INSERT INTO "templates" VALUES(2,'t1',1,'photo1',X'7265636F7264',1796029188,0,0,2);
CREATE INDEX templates_subject ON templates (subject, deleted);
CREATE INDEX templates_source ON templates (source);
CREATE INDEX subjects_waiting ON subjects (number) WHERE waiting;
CREATE INDEX templates_waiting ON templates (number) WHERE waiting;
CREATE INDEX subjects_merged_into ON subjects (merged_into) WHERE merged_into IS NOT NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('subjects',2);
INSERT INTO "sqlite_sequence" VALUES('templates',2);
COMMIT;
PRAGMA application_id = 1179141447;
PRAGMA user_version = 0;
