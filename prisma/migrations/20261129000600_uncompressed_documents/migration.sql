-- A read of many jobs or steps limits the bytes of the documents that it returns, as a claim does, and must know their size before
-- it reads any (`20261129000300_storage_settings`): so what reports bring is stored without compression, too.
ALTER TABLE ai_jobs ALTER COLUMN job_outputs SET STORAGE EXTERNAL;
ALTER TABLE node_executions
  ALTER COLUMN input_payload SET STORAGE EXTERNAL,
  ALTER COLUMN output_payload SET STORAGE EXTERNAL;
ALTER TABLE workflow_runs ALTER COLUMN outputs SET STORAGE EXTERNAL;
ALTER TABLE user_input_requests
  ALTER COLUMN payload SET STORAGE EXTERNAL,
  ALTER COLUMN answer_schema SET STORAGE EXTERNAL,
  ALTER COLUMN answer SET STORAGE EXTERNAL;
