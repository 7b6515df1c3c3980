-- What a claim hands out at once is bounded by the bytes of its jobs' documents (src/workflow/due.ts). Compressed, as
-- PostgreSQL keeps values of more than 2 kB unless it is told otherwise, a document of a million empty objects is a hundredth
-- of what it is in memory. Documents that are there already stay as they are kept.
ALTER TABLE ai_jobs
  ALTER COLUMN job_inputs SET STORAGE EXTERNAL,
  ALTER COLUMN entity_refs SET STORAGE EXTERNAL,
  ALTER COLUMN planned_operations SET STORAGE EXTERNAL;
