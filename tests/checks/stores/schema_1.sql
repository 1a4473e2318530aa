-- What the first schema's program wrote: two runs, a gate, a journal's head.
BEGIN TRANSACTION;
CREATE TABLE gates (
	id INTEGER NOT NULL, 
	run VARCHAR NOT NULL, 
	at VARCHAR NOT NULL, 
	steps VARCHAR NOT NULL, 
	side VARCHAR NOT NULL, 
	outcome VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	ok INTEGER NOT NULL, 
	failed INTEGER NOT NULL, 
	unknown INTEGER NOT NULL, 
	seconds FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(run) REFERENCES runs (id)
);
INSERT INTO "gates" VALUES(1,'20260101-120000-aaaaaa','2026-01-01T12:01:00.000Z','health checks, dependency conditions','change','pass','300 of 300 samples good',300,0,0,30.5);
CREATE TABLE heads (
	host VARCHAR NOT NULL, 
	project VARCHAR NOT NULL, 
	head VARCHAR NOT NULL, 
	PRIMARY KEY (host, project)
);
INSERT INTO "heads" VALUES('staging-1','shop','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa');
CREATE TABLE run_hosts (
	run VARCHAR NOT NULL, 
	host VARCHAR NOT NULL, 
	ending VARCHAR NOT NULL, 
	PRIMARY KEY (run, host), 
	FOREIGN KEY(run) REFERENCES runs (id)
);
INSERT INTO "run_hosts" VALUES('20260101-120000-aaaaaa','staging-1','changed');
INSERT INTO "run_hosts" VALUES('20260101-120000-aaaaaa','staging-2','unchanged');
CREATE TABLE runs (
	id VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	environment VARCHAR NOT NULL, 
	phase VARCHAR NOT NULL, 
	who VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	promotion_key VARCHAR NOT NULL, 
	started VARCHAR NOT NULL, 
	outcome VARCHAR NOT NULL, 
	message VARCHAR NOT NULL, 
	undoes VARCHAR NOT NULL, 
	ended VARCHAR, 
	code INTEGER, 
	PRIMARY KEY (id)
);
INSERT INTO "runs" VALUES('20260101-120000-aaaaaa','migrate','staging','1','eve@laptop','f1','k1','2026-01-01T12:00:00.000Z','done','','','2026-11-24T08:24:59.243+00:00',0);
INSERT INTO "runs" VALUES('20260102-120000-bbbbbb','rollback','staging','20260101-120000-aaaaaa','eve@laptop','','','2026-01-02T12:00:00.000Z','','','20260101-120000-aaaaaa',NULL,NULL);
CREATE TABLE schema (
	version INTEGER NOT NULL
);
INSERT INTO "schema" VALUES(1);
COMMIT;
