BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE jobs (
	number INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	tenant TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	inputs TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	request TEXT NOT NULL, 
	work TEXT NOT NULL, 
	target_room TEXT NOT NULL, 
	target TEXT NOT NULL, 
	state TEXT NOT NULL, 
	stage TEXT NOT NULL, 
	done INTEGER NOT NULL, 
	total INTEGER NOT NULL, 
	cancel BOOLEAN NOT NULL, 
	error TEXT, 
	failures INTEGER NOT NULL, 
	deaths INTEGER NOT NULL, 
	not_before DOUBLE NOT NULL, 
	created DOUBLE NOT NULL, 
	started DOUBLE, 
	since DOUBLE, 
	finished DOUBLE, 
	worker TEXT, 
	token INTEGER NOT NULL, 
	lease DOUBLE, 
	PRIMARY KEY (number), 
	UNIQUE (id)
);
INSERT INTO "jobs" VALUES(1,'cccf6f1e03955a1881138af1d3bba6ee','anna','embedding','{"faces": "one", "key": "mine", "model": "default"}','076d97e85fe59cdcb02e18156d11555bf61182d62889499513fc04d4afb916b6','c84e9918b2b8c832780d1bd783b3048ce06d9d438e32205f3834b74c9784b5a0','dbe89e7bcc3eed6c769a5ac2e5db2115516600e535555933b6c715589c6b8f3f','embeddings','done','done','done',14,33,0,NULL,0,0,0.0,1.7960291867690756321e+09,1.79602918688243961336e+09,1.79602918688243961336e+09,1.7960291881643872261e+09,'inline-8421-24b42bec',1,NULL);
INSERT INTO "jobs" VALUES(2,'66792495745fe2b8c8a3c8f0a617ffb4','anna','embedding','{"faces": "two", "key": "mine", "model": "default"}','076d97e85fe59cdcb02e18156d11555bf61182d62889499513fc04d4afb916b6','f64eb29e9d6362c4b8bcc2de358e4886a53efb19742ba014bf91417ad0a15840','dbe89e7bcc3eed6c769a5ac2e5db2115516600e535555933b6c715589c6b8f3f','embeddings','failed','failed','starting',0,0,0,'{"code": "not-here", "title": "an input is gone", "detail": "there is nothing of this name in faces"}',0,0,0.0,1.79602918684520912167e+09,1.79602918818957328801e+09,1.79602918818957328801e+09,1.79602918820253133766e+09,'inline-8421-24b42bec',1,NULL);
INSERT INTO "jobs" VALUES(3,'498c4c2758af6a352f275a4f0d420f90','anna','embedding','{"faces": "three", "key": "mine", "model": "default"}','076d97e85fe59cdcb02e18156d11555bf61182d62889499513fc04d4afb916b6','4a1bab4c1913c062c752ced2dfbdeb78de6273da2f55ad9c22688fbb07d6a176','dbe89e7bcc3eed6c769a5ac2e5db2115516600e535555933b6c715589c6b8f3f','embeddings','waiting','queued','waiting',0,0,0,NULL,0,0,0.0,1.7960291882372274399e+09,NULL,NULL,NULL,NULL,0,NULL);
CREATE TABLE outputs (
	tenant TEXT NOT NULL, 
	name TEXT NOT NULL, 
	room TEXT NOT NULL, 
	resource TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	created DOUBLE NOT NULL, 
	CONSTRAINT one_output PRIMARY KEY (tenant, name)
);
INSERT INTO "outputs" VALUES('anna','d502fda1f0d99df19a7af11051ee9e15f7016b204002ad6bfdf1b391e926df89','embeddings','done','be26ee3cb6ab11618bd9c953bf8d803b0af806da23eadd571c7b86444cee4eec',1.7960291881643872261e+09);
CREATE TABLE queue (
	number INTEGER NOT NULL, 
	identity TEXT NOT NULL, 
	PRIMARY KEY (number), 
	CONSTRAINT one_queue CHECK (number = 1)
);
INSERT INTO "queue" VALUES(1,'insecure-tiny 0');
CREATE TABLE workers (
	id TEXT NOT NULL, 
	seen DOUBLE NOT NULL, 
	PRIMARY KEY (id)
);
CREATE INDEX jobs_waiting ON jobs (state, tenant, "key", number);
CREATE INDEX jobs_tenant ON jobs (tenant, number);
CREATE UNIQUE INDEX jobs_request ON jobs (tenant, request) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_ended ON jobs (finished);
COMMIT;
PRAGMA application_id = 1179141450;
PRAGMA user_version = 0;
