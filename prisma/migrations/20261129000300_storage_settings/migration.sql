-- How tables are stored and vacuumed: this changes no result, only how much time and memory a statement takes.

-- A claim scans past the index entries of jobs that earlier claims took, until a vacuum has removed these entries. By default
-- a vacuum runs when a fifth of the table has changed; since every job stays in the table for good, that could be a million
-- dead entries at the front of the queue.
ALTER TABLE ai_jobs SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);

-- The same for recovery, which scans past the index entries of leases that heartbeats have renewed.
ALTER TABLE workflow_runs SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);

-- A claim limits the bytes of the documents that it returns, and must know their size before it reads any. By default
-- PostgreSQL compresses values of more than 2 kB: a document of a million empty objects would then count as a hundredth of the
-- memory that it takes. EXTERNAL means not compressed.
ALTER TABLE ai_jobs
  ALTER COLUMN job_inputs SET STORAGE EXTERNAL,
  ALTER COLUMN entity_refs SET STORAGE EXTERNAL,
  ALTER COLUMN planned_operations SET STORAGE EXTERNAL;

-- Rows of the current hour and day are updated again and again: with room on their page this needs no new entries in indexes.
ALTER TABLE usage_intervals SET (fillfactor = 70);
