-- How tables are stored and vacuumed: nothing that a query or a writer could see.

-- A claim reads over the index entries of jobs that were claimed before it, until a vacuum has removed them. By default a
-- vacuum comes when a fifth of the table has changed; since every job stays in the table for good, that could be a million
-- dead entries at the front of the queue.
ALTER TABLE ai_jobs SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);

-- The same for recovery, which reads over the entries of leases that heartbeats have renewed.
ALTER TABLE workflow_runs SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);

-- A claim limits what it returns by the bytes of its jobs' documents, and must know them before it reads any. Compressed,
-- as PostgreSQL stores values of more than 2 kB by default, a document of a million empty objects would count as a
-- hundredth of the memory that it takes. EXTERNAL: not compressed.
ALTER TABLE ai_jobs
  ALTER COLUMN job_inputs SET STORAGE EXTERNAL,
  ALTER COLUMN entity_refs SET STORAGE EXTERNAL,
  ALTER COLUMN planned_operations SET STORAGE EXTERNAL;
