-- A claim walks over what was claimed before it until a vacuum has taken that out of the index. The table keeps every job
-- for good, so that by PostgreSQL's own rule, a fifth of it, a million of them would lie there.
ALTER TABLE ai_jobs SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);
-- So it is with the sweep for lost leases and what heartbeats have renewed.
ALTER TABLE workflow_runs SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);
